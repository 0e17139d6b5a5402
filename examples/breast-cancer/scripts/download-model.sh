#!/usr/bin/env bash
# Downloads the files of a model to a new directory: all of them, verified, or none.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: download-model.sh MODEL WHICH DIRECTORY [OPTION OF promotion-bot download]…

WHICH is a version's number, an alias as @champion, or an environment such as production.
DIRECTORY must not be there yet. Needs MLFLOW_TRACKING_URI; for an environment GITHUB_TOKEN and PROMOTION_REPOSITORIES too.
TEXT
}

fail() {
  echo "download-model.sh: $*" >&2
  exit 2
}

[[ ${1-} != -h && ${1-} != --help ]] || { usage && exit; }
(($# >= 3)) || { usage >&2 && exit 2; }
model=$1 which=$2 directory=$3
shift 3
case $which in
  '' | @) fail "'$which' is no version, alias or environment" ;;
  @*) chosen=(--alias "${which#@}") ;;
  *[!0-9]*) chosen=(--environment "$which") ;;
  *) chosen=(--version "$which") ;;
esac
command -v promotion-bot >/dev/null || fail "the program promotion-bot is missing: pip install promotion-bot"

exec promotion-bot download "$model" "${chosen[@]}" --to "$directory" "$@"
