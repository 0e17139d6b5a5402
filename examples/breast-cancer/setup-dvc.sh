#!/usr/bin/env bash
# Makes this directory a git and DVC repository whose first data version is tagged data-v1.0.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
  cat <<'TEXT'
Usage: ./setup-dvc.sh [REMOTE]

REMOTE is where DVC keeps data and models: a directory, s3://bucket/path, gs://bucket/path, azure://container/path.
The default is ../dvc-storage, a directory beside this one, which promotion-bot's data check refuses: nobody else
finds it by that name. Running it again changes nothing that is there.
TEXT
}

fail() {
  echo "setup-dvc.sh: $*" >&2
  exit 1
}

case "${1-}" in
  -h | --help) usage && exit ;;
  -*) usage >&2 && exit 2 ;;
esac
(($# <= 1)) || { usage >&2 && exit 2; }

for program in git dvc python; do
  command -v "$program" >/dev/null || fail "the program $program is missing: pip install -r requirements.txt"
done
top=$(git rev-parse --show-toplevel 2>/dev/null || true)
[[ -z $top || $top == "$(pwd -P)" ]] ||
  fail "this directory is a part of the repository $top: copy it to a place of its own first"

[[ -n $top ]] || git init --quiet --initial-branch main
[[ -d .dvc ]] || dvc init >/dev/null # its --quiet keeps errors to itself, here and below
dvc config core.analytics false
dvc config core.autostage true
# Credentials belong into .dvc/config.local, which git ignores: dvc remote modify --local storage …
known=$(dvc config remote.storage.url 2>/dev/null || true) # a directory by its whole path
if [[ -z $known ]]; then
  dvc remote add --default storage "${1:-../dvc-storage}" >/dev/null
elif (($#)) && [[ $1 != "$known" && $(realpath "$1" 2>/dev/null) != "$known" ]]; then
  fail "DVC's remote is $known already; to move it: dvc remote modify storage url …, then dvc push"
fi
git rev-parse --verify --quiet HEAD >/dev/null && added=(.dvc .dvcignore) || added=(.)
git add "${added[@]}"
git diff --cached --quiet || git commit --quiet --message "Training code, with DVC for data and models"

pointer=data/dataset.csv.dvc
if ! git cat-file -e "HEAD:$pointer" 2>/dev/null; then
  [[ -e $pointer ]] || python dataset.py --rows 450
  dvc add data/dataset.csv >/dev/null
  git add "$pointer"
  git commit --quiet --message "Data 1.0: the first 450 patients" -- "$pointer"
fi
if ! git rev-parse --verify --quiet refs/tags/data-v1.0 >/dev/null; then
  [[ $(git rev-parse --is-shallow-repository) == false ]] ||
    fail "the tag data-v1.0 is not in this clone, nor is its commit: git fetch --unshallow --tags"
  first=$(git log --diff-filter=A --format=%H -- "$pointer" | tail -n 1)
  git tag --annotate data-v1.0 --message "The first 450 patients" "$first"
fi
dvc push >/dev/null
echo "ready: data-v1.0 is in git and in $(dvc config remote.storage.url); next: dvc repro"
