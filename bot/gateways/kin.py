"""Runs that are related to a version's: its parent, those below the same parent, those on the same data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bot.domain.errors import Refused
from bot.domain.lineage import Kin, Origin
from bot.gateways.mlflow_api import MlflowApi, pages_of

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

_RUNS_A_PAGE: Final = 1_000
# MLflow's filter language has no escape for quotes: what holds other signs is not searched for.
_SEARCHABLE = re.compile(r"[A-Za-z0-9_.:/ -]{1,500}", re.ASCII)
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)  # a tag that names a run may hold anything
_DATA: Final = ("data_hash", "data_version")


class Relatives:
    """Asks a tracking server for a run's relatives: two requests, and one for each thousand relatives of a kind."""

    def __init__(self, api: MlflowApi) -> None:
        self._api = api

    def of(self, origin: Origin) -> Kin:
        """The relatives of the run that made a version; none of a run that is gone."""
        training = origin.training
        run = self._run(training.run_id) if training is not None else None
        if training is None or run is None:
            return Kin()
        named = training.parent if _RUN_ID.fullmatch(training.parent) else ""
        parent = self._run(named) if named else None
        experiment = run.info.experiment_id
        data = next((name for name in _DATA if name in origin.data), None)
        return Kin(
            run_is_deleted=run.info.lifecycle_stage == "deleted",
            parent_name=parent.info.run_name or "" if parent is not None else "",
            below_parent=self._tagged(experiment, "mlflow.parentRunId", named),
            on_same_data=self._tagged(experiment, data, origin.data[data]) if data is not None else frozenset(),
        )

    def _run(self, run_id: str) -> MlflowRun | None:
        try:
            with self._api.asked_to(f"read the run {run_id[:100]}") as client:
                return client.get_run(run_id)
        except Refused:  # no such run, or an id that none can have
            return None

    def _tagged(self, experiment: str, tag: str, value: str) -> frozenset[str]:
        """The ids of the experiment's runs whose tag has this value."""
        if not _SEARCHABLE.fullmatch(value):
            return frozenset()
        wanted = f"tags.`{tag}` = '{value}'"
        with self._api.asked_to("search the runs that are related") as client:
            found = pages_of(
                lambda token: client.search_runs([experiment], wanted, max_results=_RUNS_A_PAGE, page_token=token)
            )
            return frozenset(run.info.run_id for run in found)
