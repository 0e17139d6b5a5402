#!/usr/bin/env bash
# Shows two versions of a model side by side.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: compare-models.sh MODEL BEFORE AFTER [OPTION OF promotion-bot compare]…

BEFORE and AFTER are numbers of versions. Needs MLFLOW_TRACKING_URI. --json prints JSON.
TEXT
}

fail() {
  echo "compare-models.sh: $*" >&2
  exit 2
}

[[ ${1-} != -h && ${1-} != --help ]] || { usage && exit; }
(($# >= 3)) || { usage >&2 && exit 2; }
command -v promotion-bot >/dev/null || fail "the program promotion-bot is missing: pip install promotion-bot"

exec promotion-bot compare "$@"
