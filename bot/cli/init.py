"""`promotion-bot init`: the first pull request of a deploy repository, which states what is live already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from bot.cli import output
from bot.cli.options import prepared
from bot.domain.pipeline import RegistryTarget
from bot.settings import Needs

if TYPE_CHECKING:
    from workers.adoption import Adoption

_POLICIES: Final = click.Choice(["baseline", "llm", "regulated", "vision"])
_COUNT: Final = click.IntRange(0, 100)


class _Environment(click.ParamType["tuple[str, RegistryTarget | None]"]):
    """`NAME`, or `NAME=stage:STAGE,alias:ALIAS`."""

    name = "NAME[=stage:STAGE,alias:ALIAS]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, RegistryTarget | None]:
        name, _, said = str(value).partition("=")
        if not said:
            return name, None
        parts = dict(part.split(":", 1) for part in said.split(",") if ":" in part)
        if not parts or set(parts) - {"stage", "alias"} or len(parts) != said.count(",") + 1:
            self.fail(f"“{said}” is not stage:STAGE, alias:ALIAS, or both with a comma between them", param, ctx)
        stage, alias = parts.get("stage"), parts.get("alias")
        return name, RegistryTarget(stage, alias, archive_existing=stage is not None)


@click.command("init", help="Open the first pull request of a deploy repository, under your own GITHUB_TOKEN.")
@click.option("--repository", metavar="OWNER/NAME", help="The deploy repository.  [default: PROMOTION_REPOSITORIES]")
@click.option("--models", multiple=True, metavar="GLOB", help="Registered models it owns; may be repeated.")
@click.option(
    "--environment",
    "environments",
    multiple=True,
    type=_Environment(),
    help="An environment, in order; may be repeated.  [default: staging, production, marked as they are today]",
)
@click.option("--policy", type=_POLICIES, help="The policy to begin with.")
@click.option("--approvals", type=_COUNT, help="Approvals that the last environment needs.")
@click.option("--approver", "approvers", multiple=True, metavar="LOGIN|@ORG/TEAM", help="Who may approve.")
@click.option("--yes", is_flag=True, help="Ask nothing: take what is usual where no option says otherwise.")
@click.option("--dry-run", is_flag=True, help="Print the files instead of opening the pull request.")
@output.as_json
def command(
    repository: str | None,
    models: tuple[str, ...],
    environments: tuple[tuple[str, RegistryTarget | None], ...],
    policy: str | None,
    approvals: int | None,
    approvers: tuple[str, ...],
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Ask what no option says, read what is live, and propose files that state it."""
    said = {"PROMOTION_REPOSITORIES": repository} if repository else None
    settings = prepared(Needs.OWN_TOKEN | Needs.REGISTRY, said)
    from bot.domain.adoption import USUAL_ENVIRONMENTS, Start, targets_in_use
    from bot.wiring import without_queue
    from workers.adoption import expect_new, open_pull_request, prepare

    name = settings.repositories[0]
    gateways = without_queue(settings)
    head = expect_new(gateways, name)
    ask = _usual if yes or as_json else _asked
    globs = models or _words(ask("Registered models of this repository, as globs", "*", str))
    owned = tuple(m for m in gateways.registry.models() if Start(globs, {}).owns(m.name))
    named = environments or tuple(
        (each, None) for each in _words(ask("Environments, in order", " ".join(USUAL_ENVIRONMENTS), str))
    )
    usual = targets_in_use(owned, [environment for environment, _ in named])
    last = named[-1][0]
    start = Start(
        models=globs,
        targets={environment: target or usual[environment] for environment, target in named},
        policy=policy or ask("Policy to begin with", "baseline", _POLICIES),
        approvals=approvals if approvals is not None else ask(f"Approvals that {last} needs", 1, _COUNT),
        approvers=approvers
        or _words(ask("Who may give them: logins, @organisation/team; nobody named is whoever may write", "", str)),
    )
    adoption = prepare(gateways, start, owned, _progress)
    if dry_run:
        if as_json:
            output.print_json({**_summary(adoption), "files": dict(adoption.files)})
        else:
            _print(adoption)
        return
    if not as_json:
        _tell(adoption)
    if not (yes or as_json):
        click.confirm(f"Open the pull request on {name}?", default=True, abort=True, err=True)
    pull = open_pull_request(gateways, name, head, adoption)
    if as_json:
        output.print_json({"pull_request": pull.number, "url": pull.url, **_summary(adoption)})
    else:
        output.say(f"#{pull.number} {pull.title}", pull.url)


def _asked(question: str, default: Any, kind: Any) -> Any:  # noqa: ANN401 - what click's types make of an answer
    return click.prompt(question, default=default, type=kind, err=True)


def _usual(_question: str, default: Any, _kind: Any) -> Any:  # noqa: ANN401
    return default


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _progress(model: str, version: int) -> None:
    output.say(f"reading the files of {model} v{version}", err=True)


def _summary(adoption: Adoption) -> dict[str, object]:
    return {
        "entries": [
            {"model": model, "environment": environment, "version": entry.version, "release": entry.release}
            for (model, environment), entry in sorted(adoption.entries.items())
        ],
        "left_out": [
            {"model": each.model, "environment": each.environment, "why": each.why} for each in adoption.stated.left_out
        ],
        "files": sorted(adoption.files),
    }


def _tell(adoption: Adoption) -> None:
    for (model, environment), entry in sorted(adoption.entries.items()):
        output.say(f"{model}: v{entry.version} is live in {environment} ({entry.release})")
    for each in adoption.stated.left_out:
        output.say(f"{each.model}: left out of {each.environment}: {each.why}")
    if not adoption.entries:
        output.say("nothing is live yet: the manifest begins without entries")


def _print(adoption: Adoption) -> None:
    for path, text in sorted(adoption.files.items()):
        output.say(f"--- {path}", *text.splitlines())
