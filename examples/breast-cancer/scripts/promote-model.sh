#!/usr/bin/env bash
# Opens the pull request that puts a version into an environment, and follows its checks.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: promote-model.sh MODEL VERSION ENVIRONMENT [OPTION OF promotion-bot promote]…

VERSION is a number, or latest. The pull request is opened as the owner of GITHUB_TOKEN.
Needs MLFLOW_TRACKING_URI, GITHUB_TOKEN and PROMOTION_REPOSITORIES (owner/name of the deploy repository).
Exit code: 0 the policy agrees, 1 it refuses, 2 wrong usage, 3 something was unreachable or took too long.
TEXT
}

fail() {
  echo "promote-model.sh: $*" >&2
  exit 2
}

[[ ${1-} != -h && ${1-} != --help ]] || { usage && exit; }
(($# >= 3)) || { usage >&2 && exit 2; }
model=$1 version=$2 environment=$3
shift 3
[[ $version == latest ]] && subject=$model || subject=$model@$version
command -v promotion-bot >/dev/null || fail "the program promotion-bot is missing: pip install promotion-bot"

exec promotion-bot promote "$subject" --to "$environment" --wait "$@"
