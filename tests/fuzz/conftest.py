"""The web service on a real queue, for thousands of requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from bot.gateways.queue import WorkQueue
from bot.gateways.redis_connection import connect
from bot.settings import Secret, Settings, load_settings
from bot.web.app import create_app
from tests.conftest import PEM
from tests.web.test_board import HELD, LIVE


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The least that a service needs, for a whole module."""
    return load_settings(
        {
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
            "MLFLOW_WEBHOOK_SECRET": "mlflow-new",
            "GITHUB_WEBHOOK_SECRET": "github-new",
            "GITHUB_APP_ID": "12345",
            "GITHUB_APP_PRIVATE_KEY": PEM,
            "PROMOTION_REPOSITORIES": "acme/models,acme/risk",
            "PROMOTION_DATA_DIR": str(tmp_path_factory.mktemp("data") / Path("none")),
        }
    )


@pytest.fixture(scope="module")
def service(served: Settings, valkey_url: Secret) -> Iterator[FlaskClient]:
    """The service, with two models on its board."""
    with connect(valkey_url) as connection:
        connection.flushall()
        queue = WorkQueue(connection)
        queue.boards.show_all(
            "acme/models", {"fraud": (LIVE, HELD), "team/churn": (replace(LIVE, model="team/churn"),)}
        )
        yield create_app(served, queue).test_client()
        connection.flushall()
