"""What commands that only read share: the repository that a model belongs to, as it is now."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bot.domain.errors import Refused
from bot.domain.manifest import Entry
from bot.domain.versions import ModelVersion, RegisteredModel
from bot.printable import printable
from bot.settings import Secret
from bot.wiring import Gateways
from policies.documents import InvalidDocument, nearest
from workers.repository_view import RepositoryView

log = logging.getLogger("promotion-bot")


def view_of(gateways: Gateways, repository: str | None = None, model: str = "") -> RepositoryView:
    """The named repository, else the one that owns the model, else the first. Raises Refused where there is none."""
    names, broken = _named(gateways, repository), None
    for name in names if model else names[:1]:
        try:
            view = RepositoryView(gateways, name, gateways.clock())
        except InvalidDocument as invalid:
            broken = broken or invalid
            continue
        if not model or view.pipeline.pipeline.owns(model):
            _expect_records(view)
            return view
    if broken is not None:  # it may be the one
        raise Refused(str(broken)) from broken
    served = ", ".join(gateways.settings.repositories)
    raise Refused(f"no pipeline of {served} names “{model}” in its `models`")


def entry_of(gateways: Gateways, repository: str | None, version: ModelVersion) -> Entry | None:
    """What the manifests say of a version, or of the one that it is a copy of, in whichever environment.

    None where none names it; raises Refused where they say different things, or where the one that may name it cannot
    be read.
    """
    same_files = {(version.name, version.version), version.copied_from or (version.name, version.version)}
    found: list[Entry] = []
    broken = None
    for name in _named(gateways, repository):
        try:
            manifest = RepositoryView(gateways, name, gateways.clock()).manifest
        except InvalidDocument as invalid:
            broken = broken or invalid
            continue
        entries = (
            e for model, number in sorted(same_files) for e in manifest.of_model(model).values() if e.version == number
        )
        found += entries
    if broken is not None and not found:  # it may name it
        raise Refused(str(broken)) from broken
    if len({entry.digest for entry in found}) > 1:
        raise Refused(
            f"version {version.version} of “{version.name}” has different digests in different environments; name the"
            " one that is meant with --environment"
        )
    return found[0] if found else None


def _named(gateways: Gateways, repository: str | None) -> Sequence[str]:
    """The named repository, or else all; raises Refused for one that is not served."""
    served = gateways.settings.repositories
    if repository is not None and repository not in served:
        raise Refused(f"{repository} is not among PROMOTION_REPOSITORIES: {', '.join(served)}")
    return [repository] if repository else served


def _expect_records(view: RepositoryView) -> None:
    """Warn a person whose own records are looked for in place of the bot's."""
    settings = view.gateways.settings
    if settings.bot_login or not isinstance(settings.github_credentials, Secret):
        return
    if view.manifest.entries and not view.judgements and view.adoption is None:
        log.warning(
            "%s has never recorded anything in %s. Where the bot is another: set PROMOTION_BOT_LOGIN to its login, such"
            " as promotion-bot[bot]; what is live, and compared with, is not known else",
            view.gateways.login(),
            view.name,
        )


def registered(gateways: Gateways, model: str) -> RegisteredModel:
    """A registered model; raises Refused with the nearest name where there is none."""
    found = gateways.registry.model(model)
    if found is None:
        said, names = printable(model), [printable(known.name) for known in gateways.registry.models()]
        raise Refused(f"the registry has no model “{said}”{nearest(said, names)}")
    return found


def version_of(model: RegisteredModel, number: int) -> ModelVersion:
    """A version; raises Refused where there is none."""
    version = model.version(number)
    if version is None:
        raise Refused(f"the registry has no version {number} of “{printable(model.name)}”")
    return version


def expect_environment(view: RepositoryView, name: str) -> str:
    """The name of an environment of the pipeline; raises Refused with the nearest one."""
    names = [environment.name for environment in view.pipeline.pipeline.environments]
    if name not in names:
        raise Refused(f"the pipeline of {view.name} has no environment “{name}”{nearest(name, names)}")
    return name
