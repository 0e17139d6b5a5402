"""What the image's packages weigh, added up from what is installed here."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

RUNTIME = Path(__file__).parents[1] / "requirements" / "runtime.txt"


def packages() -> Iterator[Distribution]:
    """What requirements/runtime.txt installs on this platform; raises PackageNotFoundError where it is not there."""
    for line in RUNTIME.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            requirement = Requirement(line.partition(" --hash")[0].strip())
            if requirement.marker is None or requirement.marker.evaluate():
                yield distribution(requirement.name)


def weight(package: Distribution) -> int:
    """Bytes of all files that a package installed, compiled ones included."""
    paths = (Path(str(package.locate_file(file))) for file in package.files or ())
    return sum(path.stat().st_size for path in paths if path.is_file())


def measure() -> dict[str, int]:
    """Each package's weight in bytes, the heaviest first."""
    weights = {package.name: weight(package) for package in packages()}
    return dict(sorted(weights.items(), key=lambda item: -item[1]))


def run() -> Iterator[tuple[str, str]]:
    """The heaviest packages, and all of them together."""
    measured = measure()
    for name, size in [*measured.items()][:8]:
        yield name, f"{size / 1e6:.0f} MB"
    yield f"all {len(measured)} packages", f"{sum(measured.values()) / 1e6:.0f} MB"
