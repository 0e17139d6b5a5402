"""What the web service is compared with: a bare Flask view that verifies, parses and pushes with one Redis command."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time

import redis
from flask import Flask, Response, request

from benchmarks.load import SECRET


def application() -> Flask:
    """The least that does the same work, with nothing that keeps it safe."""
    app = Flask("bare", static_folder=None)
    connection = redis.Redis.from_url(os.environ["REDIS_URL"])

    @app.post("/webhooks/github")
    def github() -> Response:
        body = request.get_data()
        expected = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, request.headers.get("X-Hub-Signature-256", "")):
            return Response(status=401)
        name = json.loads(body)["repository"]["full_name"]
        connection.zadd("bare", {name: time.time()}, lt=True)
        return Response('{"status": "queued"}', 202, content_type="application/json")

    return app
