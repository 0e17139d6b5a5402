"""The web service on a real queue, spoken to through Flask's test client."""

from __future__ import annotations

import pytest
import redis
from flask.testing import FlaskClient

from bot.gateways.queue import WorkQueue
from bot.settings import Settings
from bot.web.app import create_app


@pytest.fixture
def queue(valkey: redis.Redis) -> WorkQueue:
    return WorkQueue(valkey)


@pytest.fixture
def web(settings: Settings, queue: WorkQueue) -> FlaskClient:
    return create_app(settings, queue).test_client()
