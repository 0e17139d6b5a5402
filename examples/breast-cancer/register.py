"""Register the model of a run as a new version, with what says where it comes from.

    python register.py RUN_ID [--name MODEL] [--description TEXT] [--tag KEY=VALUE]…

A run that was registered already gets no second version. The last line is the version's number.
"""

import argparse
import sys

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from promotion_bot_lineage import COPIED_TO_THE_VERSION

MODEL_NAME = "breast-cancer"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run_id")
    parser.add_argument("--name", default=MODEL_NAME, help="the registered model  [default: %(default)s]")
    parser.add_argument("--description", help="what is new in this version")
    parser.add_argument("--tag", action="append", default=[], type=tag, metavar="KEY=VALUE")
    arguments = parser.parse_args()
    client = MlflowClient()
    try:
        run = client.get_run(arguments.run_id)
        version = register(client, run, arguments.name, arguments.description, dict(arguments.tag))
    except MlflowException as error:
        raise SystemExit(f"MLflow refuses to register {arguments.run_id}: {error.message}") from error
    print(version)


def tag(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"“{text}” is not KEY=VALUE")
    return key, value


def register(client: MlflowClient, run: Run, name: str, description: str | None, tags: dict[str, str]) -> int:
    """The number of the run's version of the model; a new one, unless there is one already."""
    run_id = run.info.run_id
    if run.info.lifecycle_stage != "active":
        raise SystemExit(f"run {run_id} is deleted: `mlflow runs restore --run-id {run_id}` brings it back")
    if run.info.status != "FINISHED":
        raise SystemExit(f"run {run_id} is {run.info.status}: only a finished run is registered")
    model_id = logged_model(run)
    for known in client.search_model_versions(f"run_id = '{run_id}'"):
        if known.name == name:
            print(f"run {run_id} is {name} version {known.version} already", file=sys.stderr)
            return int(known.version)
    with_the_name(client, name)
    lineage = {key: run.data.tags[key] for key in COPIED_TO_THE_VERSION if key in run.data.tags}
    made = client.create_model_version(
        name, f"models:/{model_id}", run_id, tags={**lineage, **tags}, description=description, model_id=model_id
    )
    print(f"registered {name} version {made.version} from run {run_id}", file=sys.stderr)
    return int(made.version)


def with_the_name(client: MlflowClient, name: str) -> None:
    """Make the registered model, unless it is there: perhaps somebody else makes it at this moment."""
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def logged_model(run: Run) -> str:
    outputs = run.outputs.model_outputs if run.outputs else []
    if not outputs:
        raise SystemExit(f"run {run.info.run_id} has logged no model")
    return outputs[-1].model_id


if __name__ == "__main__":
    main()
