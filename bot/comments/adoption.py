"""What a repository begins with: the files of its first pull request, and the text that goes with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import yaml

from bot.comments.markdown import inert, prose, table
from bot.domain.adoption import LeftOut, Start
from bot.domain.manifest import Entry
from bot.domain.pipeline import DEFAULT_MANIFEST, RegistryTarget

BRANCH: Final = "adopt-promotion-bot"
TITLE: Final = "Promote models by pull requests"
LIBRARY: Final = "policies/library"
_MOST_ROWS: Final = 100


def pipeline(start: Start) -> str:
    """The text of `promotion.yaml`: people propose and merge; what to write to let the bot do it stands beside it."""
    blocks = [
        "# Which models are promoted here, through which environments, by which rules.\n"
        "apiVersion: promotion-bot/v1\n"
        "kind: Pipeline\n"
        f"manifest: {DEFAULT_MANIFEST}\n"
        f"models: {_flow(list(start.models))}\n"
        "environments:\n"
    ]
    names = list(start.targets)
    for i, name in enumerate(names):
        after = f"{{after: {_flow(names[i - 1])}, soak: 24h}}" if i else "on_registration"
        last = i == len(names) - 1
        blocks.append(
            f"  - name: {_flow(name)}\n"
            f"    policy: policies/{name}.yaml\n"
            f"    propose: manual # {after}: the bot proposes by itself\n"
            + ("    merge: manual\n" if last else "    merge: manual # auto: the bot merges what is green\n")
            + (_approvals(start) if last else "")
            + f"    registry: {_target(start.targets[name])}\n"
        )
    blocks.append('releases: {tag: "model-{model}-v{version}", github_release: true}\n')
    return "".join(blocks)


def _approvals(start: Start) -> str:
    said: dict[str, object] = {"count": start.approvals}
    if start.approvers:
        said["from"] = list(start.approvers)
    return f"    approvals: {_flow(said)}\n"


def _target(target: RegistryTarget) -> str:
    said = {"stage": target.stage, "alias": target.alias, "archive_existing": target.archive_existing or None}
    return _flow({name: value for name, value in said.items() if value is not None})


def _flow(value: object) -> str:
    """A value on one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=2**31)
    return text.removesuffix("\n").removesuffix("\n...")


def policy(environment: str, library: str) -> str:
    """The text of an environment's policy: what the library's asks for, and a place for the team's own."""
    return (
        f"# What a version must show before it goes to {environment}. Add checks of your own, such as\n"
        "#   - {id: accuracy-floor, metric: {name: accuracy, at_least: 0.85}}\n"
        "apiVersion: promotion-bot/v1\n"
        "kind: Policy\n"
        f"name: {_flow(environment)}\n"
        f"extends: [{LIBRARY}/{library}.yaml]\n"
        "checks: []\n"
    )


def body(start: Start, entries: Mapping[tuple[str, str], Entry], left_out: tuple[LeftOut, ...]) -> str:
    """The text of the pull request: what it states, what it leaves out, what comes next."""
    models = len({model for model, _ in entries})
    shown = sorted(entries.items())[:_MOST_ROWS]
    parts = [
        f"States what is live in the registry today: {_count(len(entries), 'entry', 'entries')} of"
        f" {_count(models, 'model', 'models')} in {', '.join(f'**{name}**' for name in start.targets)}. **Merging this"
        " changes nothing in the registry**; from then on what is live changes by pull requests.",
    ]
    if shown:
        rows = [(inert(model), environment, f"v{e.version}", e.release) for (model, environment), e in shown]
        parts.append(table(("model", "environment", "live", "release"), rows))
        if len(entries) > len(shown):
            parts.append(f"… and {len(entries) - len(shown)} more, in `{DEFAULT_MANIFEST}`.")
    if left_out:
        parts.append(_left_out(left_out))
    parts.append(
        "**Next.** Read the policies; they say what a version must show. After the merge comment `/promote MODEL` on an"
        " issue or a pull request, or let the bot propose: `propose` in `promotion.yaml` says how. Require the checks"
        " `promotion/policy`, `promotion/approvals` and `promotion/window` on the default branch."
    )
    return "\n\n".join(parts) + "\n"


def _left_out(left_out: tuple[LeftOut, ...]) -> str:
    lines = [f"- {inert(o.model)} in **{o.environment}**: {prose(o.why)}" for o in left_out[:_MOST_ROWS]]
    if len(left_out) > _MOST_ROWS:
        lines.append(f"- … and {len(left_out) - _MOST_ROWS} more")
    said = (
        "**Left out**, because the registry does not say one thing about them. The bot leaves them alone until they are"
        " promoted, or until you put them right and add their entries here before the merge:"
    )
    return f"{said}\n\n" + "\n".join(lines)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
