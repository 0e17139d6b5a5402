"""What `helm test` runs: the service is ready, and its metrics tell of the queue."""

import sys
import urllib.request

service, metrics = sys.argv[1:]
for url, expected in ((f"{service}/readyz", "ready"), (f"{metrics}/metrics", "promotion_queue_keys")):
    with urllib.request.urlopen(url, timeout=20) as response:  # noqa: S310 - addresses that the chart wrote
        body = response.read().decode()
    if expected not in body:
        sys.exit(f"{url} does not say {expected}: {body[:500]}")
    print(f"{url} answers")  # noqa: T201 - the test's log
