"""What a worker imports before it forks: its jobs find everything there."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

PROGRAM = textwrap.dedent(
    """
    import sys
    from workers.process import add_workers

    class Nobody:
        def add(self, name, target): ...

    from bot.settings import Secret, Settings
    settings = Settings("http://mlflow.test", (), (), Secret("t"), ("acme/models",))
    add_workers(Nobody(), settings, 1)
    before = set(sys.modules)
    import workers.jobs
    print(sorted(set(sys.modules) - before))
    """
)


def test_a_job_has_nothing_to_import() -> None:
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
