"""A server that answers as MLflow's REST API does, except where a test says otherwise: any bytes, any status."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

MODEL_ID: Final = "m-" + "a" * 32
RUN_ID: Final = "b" * 32
VERSION: Final = {
    "name": "fraud",
    "version": "7",
    "creation_timestamp": 1_764_000_000_000,
    "last_updated_timestamp": 1_764_000_000_000,
    "user_id": "dsmith",
    "current_stage": "None",
    "description": "",
    "source": f"models:/{MODEL_ID}",
    "run_id": RUN_ID,
    "status": "READY",
    "tags": [{"key": "release", "value": "1.0.0"}],
    "aliases": ["champion"],
}
MODEL: Final = {
    "name": "fraud",
    "creation_timestamp": 1_764_000_000_000,
    "last_updated_timestamp": 1_764_000_000_000,
    "tags": [{"key": "team", "value": "risk"}],
    "aliases": [{"alias": "champion", "version": "7"}],
    "latest_versions": [VERSION],
}
RUN: Final = {
    "info": {
        "run_id": RUN_ID,
        "run_uuid": RUN_ID,
        "experiment_id": "1",
        "user_id": "dsmith",
        "status": "FINISHED",
        "start_time": 1_764_000_000_000,
        "end_time": 1_764_000_001_000,
        "artifact_uri": "mlflow-artifacts:/1/run/artifacts",
        "lifecycle_stage": "active",
    },
    "data": {
        "metrics": [{"key": "accuracy", "value": 0.9, "timestamp": 1_764_000_000_000, "step": 0}],
        "params": [{"key": "depth", "value": "3"}],
        "tags": [{"key": "mlflow.user", "value": "dsmith"}],
    },
    "inputs": {},
    "outputs": {"model_outputs": [{"model_id": MODEL_ID, "step": 0}]},
}
LOGGED: Final = {
    "info": {
        "model_id": MODEL_ID,
        "experiment_id": "1",
        "name": "model",
        "creation_timestamp_ms": 1_764_000_000_000,
        "last_updated_timestamp_ms": 1_764_000_000_000,
        "artifact_uri": f"mlflow-artifacts:/1/models/{MODEL_ID}/artifacts",
        "status": "LOGGED_MODEL_READY",
        "source_run_id": RUN_ID,
    },
    "data": {
        "params": [],
        "metrics": [
            {"key": "f1", "value": 0.8, "timestamp": 1_764_000_000_000, "step": 0, "model_id": MODEL_ID,
             "dataset_name": "test", "dataset_digest": "1", "run_id": RUN_ID},
        ],
    },
}  # fmt: skip
ANSWERS: Final[Mapping[str, Any]] = {
    "/registered-models/search": {"registered_models": [MODEL]},
    "/registered-models/get": {"registered_model": MODEL},
    "/model-versions/search": {"model_versions": [VERSION]},
    "/model-versions/get": {"model_version": VERSION},
    "/model-versions/get-download-uri": {"artifact_uri": f"models:/{MODEL_ID}"},
    "/runs/get": {"run": RUN},
    f"/logged-models/{MODEL_ID}": {"model": LOGGED},
    "/mlflow-artifacts/artifacts": {"files": [{"path": "MLmodel", "is_dir": False, "file_size": "15"}]},
}
_MLMODEL: Final = b"flavors: {a: 1}"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: `announced` is the length that it says it has, where that is not the body's."""

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    announced: int | None = None


class MlflowStandIn:
    """Serves ANSWERS; where a path ends with a name in `instead`, that reply."""

    def __init__(self) -> None:
        self.instead: dict[str, Reply] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url: Final = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator[MlflowStandIn]:
        """Serve in a thread of its own."""
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _reply(self, path: str) -> Reply:
        for name, reply in self.instead.items():
            if path.endswith(name):
                return reply
        for name, answer in ANSWERS.items():
            if path.endswith(name):
                return Reply(body=json.dumps(answer).encode())
        return Reply(body=_MLMODEL) if path.endswith("/MLmodel") else Reply(404)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                self.rfile.read(length)
                reply = stand_in._reply(self.path.partition("?")[0])
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body) if reply.announced is None else reply.announced))
                self.end_headers()
                self.wfile.write(reply.body)
                self.close_connection = reply.announced is not None

            do_POST = do_PATCH = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        return Handler
