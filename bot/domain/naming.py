"""Names of what the bot makes on GitHub: branches, titles, labels, trailers. The same inputs give the same names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from bot.domain.manifest import Entry

PROMOTION_LABEL = "promotion"
SUPERSEDED_LABEL = "superseded"
BACKTEST_CHECK = "promotion/backtest"
BRANCH_PREFIX = "promotion/"

# git-check-ref-format(1), the percent sign, so that encoding stays one-to-one, and what would mention somebody in the
# message of a merge, which names the branch.
_REFUSED = re.compile(r"[\x00-\x20\x7f~^:?*\[\\%@]|\.(?=\.|/|$)|(?<=/)[./]|^[./-]|/$|\.(?=lock(?:/|$))")
# https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/autolinked-references-and-urls
_REFERENCE = re.compile(r"@(?=\S)|#(?=\d)|\bGH-(?=\d)", re.IGNORECASE)
_LONGEST_NAME = 150  # characters of a model's name in a title
_LONGEST_CHECK = 100  # characters; what is longer is cut on GitHub's pages
_LONGEST = 200  # bytes; GitHub refuses refs beyond 255, some file systems components beyond 255
_LONGEST_LINE = _LONGEST - len(f"-v{2**63}")  # bytes before the version of a branch that is never cut


def branch_name(environment: str, model: str, version: int) -> str:
    """The branch of the proposal of one version for one environment; no other proposal has it."""
    return _cut(_line(environment, model), f"-v{version}")


def branch_line(environment: str, model: str) -> str | None:
    """What stands before `-v` in the branches of all of a model's proposals for an environment.

    None for a name so long that the branches of some versions are cut, each in its own way.
    """
    line = _line(environment, model)
    return line if len(line.encode()) <= _LONGEST_LINE else None


def _line(environment: str, model: str) -> str:
    return f"{BRANCH_PREFIX}{ref_safe(environment)}/{ref_safe(model)}"


def group_branch(environment: str, date: str) -> str:
    """The branch of an environment's batch."""
    return f"{BRANCH_PREFIX}{ref_safe(environment)}/group-{date}"


def is_group(branch: str) -> bool:
    """Whether a branch of the bot's is that of a batch."""
    return branch.startswith(BRANCH_PREFIX) and branch.rpartition("/")[2].startswith("group-") and "-v" not in branch


def group_title(environment: str, count: int) -> str:
    """The title of a batch."""
    return f"Promote {count} model{'' if count == 1 else 's'} to {environment}"


def group_message(environment: str, entries: Mapping[str, Entry]) -> str:
    """The message of a batch's only commit: the trailers of each of its entries."""
    trailers = (commit_message(environment, model, entry).partition("\n\n")[2] for model, entry in entries.items())
    return f"{group_title(environment, len(entries))}\n\n{''.join(trailers)}"


def branch_by_person(environment: str, model: str, version: int) -> str:
    """The branch of a pull request that a person opens from the command line; never one of the bot's."""
    return _cut(f"promote/{ref_safe(environment)}/{ref_safe(model)}", f"-v{version}")


def version_of_branch(environment: str, model: str, branch: str) -> int | None:
    """The version whose proposal has this branch; None where it is no proposal of the model for the environment."""
    number = branch.rpartition("-v")[2]
    if not (number.isascii() and number.isdecimal()):
        return None
    return int(number) if branch_name(environment, model, int(number)) == branch else None


def tag_name(template: str, model: str, version: int, release: str) -> str:
    """The git tag of one version's release, as the pipeline's `releases.tag` says."""
    return _cut(ref_safe(template.format(model=model, version=version, release=release or version)), "")


def _cut(name: str, ending: str) -> str:
    """`name` and `ending`; where together they are too long, the hash of both stands for the rest of the name."""
    whole = (name + ending).encode()
    if len(whole) <= _LONGEST:
        return name + ending
    suffix = f"-{hashlib.sha256(whole).hexdigest()[:12]}{ending}"
    kept = whole[: _LONGEST - len(suffix)].decode(errors="ignore")
    return re.sub(r"%[0-9A-F]?$", "", kept) + suffix


def ref_safe(text: str) -> str:
    """`text` with everything that git refuses in a ref name percent-encoded."""
    # A lone surrogate cannot be UTF-8; MLflow never returns one, a hostile webhook might.
    return _REFUSED.sub(
        lambda m: "".join(f"%{byte:02X}" for byte in m[0].encode()), text.encode(errors="replace").decode()
    )


def title(environment: str, model: str, version: int) -> str:
    """The title of a proposal; line breaks in a model's name are shown as spaces.

    It goes into the merge's message, where GitHub would carry out a model's `closes #1`: it refers to nothing. A name
    that is too long for a title, of which GitHub takes 256 characters, is cut.
    """
    name = quiet(model)
    shown = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
    return f"Promote {shown} v{version} to {environment}"


def labels(environment: str) -> tuple[str, str]:
    """The labels of every proposal for an environment."""
    return (PROMOTION_LABEL, f"environment:{environment}")


def commit_check(environment: str, model: str) -> str:
    """The check on a commit of the default branch that changed one model's entry for one environment."""
    name = f"promotion/{environment}/{one_line(model)}"
    if len(name) <= _LONGEST_CHECK:
        return name
    suffix = f"-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:12]}"
    return name[: _LONGEST_CHECK - len(suffix)] + suffix


def commit_message(environment: str, model: str, entry: Entry) -> str:
    """The message of a proposal's only commit; its trailers say what it proposes."""
    return (
        f"{title(environment, model, entry.version)}\n\n"
        f"Promotion-Model: {quiet(model)}\n"
        f"Promotion-Version: {entry.version}\n"
        f"Promotion-Environment: {environment}\n"
        f"Promotion-Digest: {entry.digest}\n"
    )


def quiet(text: str) -> str:
    """One line of foreign text that refers to nobody and nothing: a zero-width space stands in each word that would."""
    return _REFERENCE.sub(lambda m: m[0] + "\u200b", one_line(text))


def one_line(text: str) -> str:
    """`text` with every run of line breaks, control characters and changes of direction as one space."""
    return re.sub(r"[\x00-\x1f\x7f\x85\u2028-\u202e\u2066-\u2069]+", " ", text).strip()


def verdict_tag(environment: str) -> str:
    """The version's tag that holds its newest verdict for an environment in short."""
    return f"promotion.{environment}.verdict"


def hold_tag(environment: str) -> str:
    """The registered model's tag that shows why automation stands still for it in an environment."""
    return f"promotion.{environment}.hold"


def drift_tag(environment: str) -> str:
    """The registered model's tag that counts repairs of its drift in an environment and says whether it is reported."""
    return f"promotion.{environment}.drift"


def override_tag(environment: str, check: str) -> str:
    """The version's tag that shows who let a failed check pass, and why."""
    return f"promotion.{environment}.override.{check}"


def verdict_artifact(environment: str) -> str:
    """The run's artifact that holds the newest verdict for an environment in full."""
    return f"promotion/{environment}/verdict.json"
