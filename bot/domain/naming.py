"""Names of what the bot makes on GitHub: branches, titles, labels, trailers. The same inputs give the same names."""

from __future__ import annotations

import hashlib
import re

from bot.domain.manifest import Entry

PROMOTION_LABEL = "promotion"
BRANCH_PREFIX = "promotion/"

# git-check-ref-format(1), and the percent sign, so that encoding stays one-to-one.
_REFUSED = re.compile(r"[\x00-\x20\x7f~^:?*\[\\%]|\.(?=\.|/|$)|(?<=@)\{|(?<=/)[./]|^[./]|/$|\.(?=lock(?:/|$))")
_LONGEST_CHECK = 100  # characters; what is longer is cut on GitHub's pages
_LONGEST = 200  # bytes; GitHub refuses refs beyond 255, some file systems components beyond 255


def branch_name(environment: str, model: str, version: int) -> str:
    """The branch of the proposal of one version for one environment; no other proposal has it."""
    name = f"{BRANCH_PREFIX}{ref_safe(environment)}/{ref_safe(model)}-v{version}"
    if len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    suffix = f"-{digest}-v{version}"
    kept = name.encode()[: _LONGEST - len(suffix)].decode(errors="ignore")
    return re.sub(r"%[0-9A-F]?$", "", kept) + suffix


def ref_safe(text: str) -> str:
    """`text` with everything that git refuses in a ref name percent-encoded."""
    # A lone surrogate cannot be UTF-8; MLflow never returns one, a hostile webhook might.
    return _REFUSED.sub(
        lambda m: "".join(f"%{byte:02X}" for byte in m[0].encode()), text.encode(errors="replace").decode()
    )


def title(environment: str, model: str, version: int) -> str:
    """The title of a proposal; line breaks in a model's name are shown as spaces."""
    return f"Promote {one_line(model)} v{version} to {environment}"


def labels(environment: str) -> tuple[str, str]:
    """The labels of every proposal for an environment."""
    return (PROMOTION_LABEL, f"environment:{environment}")


def commit_check(environment: str, model: str) -> str:
    """The check on a commit of the default branch that changed one model's entry for one environment."""
    return f"promotion/{environment}/{one_line(model)}"[:_LONGEST_CHECK]


def commit_message(environment: str, model: str, entry: Entry) -> str:
    """The message of a proposal's only commit; its trailers say what it proposes."""
    return (
        f"{title(environment, model, entry.version)}\n\n"
        f"Promotion-Model: {one_line(model)}\n"
        f"Promotion-Version: {entry.version}\n"
        f"Promotion-Environment: {environment}\n"
        f"Promotion-Digest: {entry.digest}\n"
    )


def one_line(text: str) -> str:
    """`text` with every run of line breaks and control characters as one space."""
    return re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]+", " ", text).strip()
