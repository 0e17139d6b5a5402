"""`promotion-bot download`: the files of a version, verified, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bot.cli import interrupts, options, output, progress
from bot.domain.errors import Refused
from bot.settings import Needs

if TYPE_CHECKING:
    from bot.domain.manifest import Entry
    from bot.domain.versions import ModelVersion, RegisteredModel
    from bot.gateways.artifacts.download import Download
    from bot.wiring import Gateways


_VERIFIED: Final = "verified: the manifest says the same"
_UNNAMED: Final = "not verified: no manifest names it"
_UNREAD: Final = "not verified: no manifest was read, for want of GITHUB_TOKEN and PROMOTION_REPOSITORIES"


@dataclass(frozen=True, slots=True)
class Which:
    """Which version is wanted; exactly one is said."""

    environment: str | None
    stage: str | None
    number: int | None
    alias: str | None

    def expect_one(self) -> None:
        """Raise UsageError unless exactly one is said."""
        if sum(said is not None for said in (self.environment, self.stage, self.number, self.alias)) != 1:
            raise click.UsageError("say exactly one of --environment, --stage, --version and --alias")


@click.command("download", help="Download a model's files, verified against the manifest's digest.")
@click.argument("model")
@click.option("--environment", help="What the manifest names for an environment.")
@click.option("--stage", help="The newest version in a stage of the registry.")
@click.option("--version", "number", type=options.version, help="A version.")
@click.option("--alias", help="What an alias of the registry points at.")
@click.option("--to", "target", required=True, type=click.Path(path_type=Path), help="The directory to make.")
@click.option("--from", "copies", metavar="URI", help="A second store that `sync` filled, instead of MLflow.")
@click.option("--force", is_flag=True, help="Replace another model's directory of that name.")
@output.repository
@output.as_json
def command(
    model: str,
    environment: str | None,
    stage: str | None,
    number: int | None,
    alias: str | None,
    target: Path,
    copies: str | None,
    force: bool,
    repository: str | None,
    as_json: bool,
) -> None:
    """Bring the files beside the target first; it gets its name only when every byte is there and right."""
    which = Which(environment, stage, number, alias)
    which.expect_one()
    if copies and environment is None:
        raise click.UsageError("--from needs --environment: the manifest's digest finds the files there")
    wanted, version, vouched = _wanted(model, which, copies, repository)
    from bot.gateways.artifacts.download import Existing, download

    existing = Existing.IS_REPLACED if force else Existing.STAYS
    try:
        with interrupts.in_order(), progress.of_bytes(f"{model} v{version}", wanted.size) as told:
            found = download(wanted, target, existing, told)
    except (KeyboardInterrupt, SystemExit):
        output.say("interrupted; what arrived is kept, and the same command goes on from there", err=True)
        raise
    if as_json:
        verified = wanted.expected is not None
        told_all = {"version": version, "digest": found.digest, "verified": verified, "bytes": found.size}
        output.print_json({**told_all, "to": str(target)})
    else:
        output.say(f"{model} v{version} ({found.size:,} bytes, {found.digest}) is in {target}", vouched)


def _wanted(model: str, which: Which, copies: str | None, repository: str | None) -> tuple[Download, int, str]:
    """What to bring, the number of the version that it is, and whether somebody vouches for it, in words."""
    needs = Needs.GITHUB if copies else Needs.REGISTRY | Needs.GITHUB if which.environment else Needs.REGISTRY
    settings = options.prepared(needs)
    from bot.gateways.artifacts.copies import Copies
    from bot.gateways.artifacts.download import Download
    from bot.gateways.artifacts.opening import open_place
    from bot.wiring import without_queue
    from workers.reading import entry_of, registered, version_of

    gateways = without_queue(settings)
    entry = _entry(gateways, repository, model, which.environment) if which.environment else None
    if entry is not None and copies:
        name = f"version {entry.version} of “{model}”"
        return Download(name, Copies(open_place(copies)).files(entry.digest), entry.digest), entry.version, _VERIFIED
    known = registered(gateways, model)
    version = version_of(known, entry.version) if entry else _registered(known, which)
    if entry is None and settings.knows_manifests:
        entry = entry_of(gateways, repository, version)
    name = f"version {version.version} of “{model}”"
    wanted = Download(name, gateways.artifacts.files(version), entry.digest if entry else None)
    vouched = _VERIFIED if entry else _UNNAMED if settings.knows_manifests else _UNREAD
    return wanted, version.version, vouched


def _entry(gateways: Gateways, repository: str | None, model: str, environment: str) -> Entry:
    """What the manifest names for an environment."""
    from workers.reading import expect_environment, view_of

    view = view_of(gateways, repository, model)
    entry = view.manifest.entry(model, expect_environment(view, environment))
    if entry is None:
        raise Refused(f"the manifest of {view.name} has no version of “{model}” in {environment}")
    return entry


def _registered(known: RegisteredModel, which: Which) -> ModelVersion:
    """The version that a number, an alias or a stage names in the registry."""
    from workers.reading import version_of

    if which.number is not None:
        return version_of(known, which.number)
    if which.alias is not None:
        number = known.aliases.get(which.alias)
        if number is None:
            aliases = ", ".join(sorted(known.aliases)) or "none"
            raise Refused(f"“{known.name}” has no alias “{which.alias}”; it has {aliases}")
        return version_of(known, number)
    staged = [version for version in known.versions if version.stage.lower() == (which.stage or "").lower()]
    if not staged:
        stages = ", ".join(sorted({version.stage for version in known.versions})) or "no version"
        raise Refused(f"“{known.name}” has no version in the stage “{which.stage}”; its versions are in: {stages}")
    return staged[-1]
