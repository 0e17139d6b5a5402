#!/usr/bin/env bash
# Trains, evaluates and, where asked, registers a model; everything is logged to MLflow.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/train-and-log.sh [--register] [--name MODEL] [--description TEXT] [OPTION OF train.py]…

  --register          register the model afterwards
  --name MODEL        the registered model's name (default: breast-cancer)
  --description TEXT  what is new in the version

Options of train.py: --experiment-name NAME, --data-path DIRECTORY, --model-type TYPE. Paths are told from the repository.
Without --data-path, data/dataset.csv is split first.
MLFLOW_TRACKING_URI says where to log. The last line is the run's id; with --register, the version's number.
TEXT
}

fail() {
  echo "train-and-log.sh: $1" >&2
  exit "${2:-1}"
}

register=no
prepared=no
training=() evaluation=() registration=()
while (($#)); do
  case $1 in
    -h | --help) usage && exit ;;
    --register) register=yes && shift && continue ;;
    --experiment-name | --data-path | --model-type | --name | --description) ;;
    *) fail "'$1' is no option; --help lists them" 2 ;;
  esac
  (($# > 1)) || fail "$1 wants a value" 2
  case $1 in
    --name | --description) registration+=("$1" "$2") ;;
    --data-path) prepared=yes training+=("$1" "$2") evaluation+=("$1" "$2") ;;
    *) training+=("$1" "$2") ;;
  esac
  shift 2
done
[[ $register == yes || ${#registration[@]} -eq 0 ]] || fail "${registration[0]} goes with --register" 2
[[ -n ${MLFLOW_TRACKING_URI-} ]] || fail "MLFLOW_TRACKING_URI is not set; for example: http://mlflow.example.com" 2

cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ $prepared == yes ]] || python prepare.py # of the data that is here now
python train.py "${training[@]}"
python evaluate.py "${evaluation[@]}"
run_id=$(<models/run_id.txt)
if [[ $register == yes ]]; then
  python register.py "$run_id" "${registration[@]}"
else
  echo "$run_id"
fi
