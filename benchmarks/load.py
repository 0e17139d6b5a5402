"""A load generator: `python -m benchmarks.load PORT PATH SECONDS CONNECTIONS`, signed GitHub deliveries of 10 KB.

Prints one line of JSON: how many were answered with 2xx, in how many seconds, and the latencies' quantiles.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time

SECRET = "benchmark"
MOST = 100_000  # requests, whatever the time


def delivery() -> bytes:
    """A push to another branch than the default one would queue nothing: this one asks for a look."""
    payload = {
        "ref": "refs/heads/main",
        "repository": {"full_name": "acme/models", "default_branch": "main"},
        "commits": [{"id": f"{n:040x}", "message": "x" * 120, "added": [f"file-{n}"]} for n in range(42)],
    }
    return json.dumps(payload).encode()


def request(path: str) -> bytes:
    """The whole HTTP request, as GitHub sends it."""
    body = delivery()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"X-GitHub-Event: push\r\nX-GitHub-Delivery: 1\r\nX-Hub-Signature-256: sha256={signature}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def measure(port: int, path: str, seconds: float, connections: int) -> dict[str, float]:
    """Keep `connections` busy with one request after another."""
    message, latencies, failed = request(path), [], 0
    started = time.perf_counter()

    async def send() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (began := time.perf_counter()) < started + seconds and len(latencies) < MOST:
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            if head[9:10] == b"2":
                latencies.append(time.perf_counter() - began)
            else:
                failed += 1
        writer.close()

    await asyncio.gather(*(send() for _ in range(connections)))
    took = time.perf_counter() - started
    latencies.sort()
    return {
        "answered": len(latencies),
        "failed": failed,
        "seconds": took,
        "p50": latencies[len(latencies) // 2],
        "p99": latencies[len(latencies) * 99 // 100],
    }


if __name__ == "__main__":
    result = measure(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
    print(json.dumps(asyncio.run(result)))
