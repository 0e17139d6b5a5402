"""The whole worker dies, at the worst moments: whoever starts it again finds everything in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.gateways.redis_connection import connect
from bot.settings import Secret
from tests.e2e.house import everything, house, without_names
from tests.e2e.service import service
from tests.passing import end_leases


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_after_every_single_write_it_ends_in_the_same_place(
    registry_url: str, cache_url: Secret, tmp_path: Path
) -> None:
    """Supervisor, scheduler, workers and work-horses die together before a write is answered, once for each write."""
    with house(registry_url, cache_url) as reference:
        reference.register()
        reference.to_production(1)
        wanted = without_names(everything(reference), reference)
    with service(registry_url, cache_url, tmp_path) as running:

        def killed_and_started_again() -> None:
            running.worker.kill()
            end_leases(connect(cache_url))
            running.worker.start()

        running.worker.start()
        running.disturb(killed_and_started_again)
        running.story()
        assert without_names(everything(running.house), running.house) == wanted
        kinds = {(write.service, write.method, write.path.rpartition("/")[2]) for write in running.disturbed}
        assert len(running.disturbed) >= 30, kinds
        assert ("github", "PUT", "merge") in kinds
        assert ("github", "POST", "releases") in kinds
        assert ("mlflow", "POST", "transition-stage") in kinds
