"""One deploy repository: can it be read, are its files right, can its approvals be given."""

from __future__ import annotations

from collections.abc import Iterator

from bot.domain.errors import PromotionError
from bot.domain.pipeline import Pipeline
from bot.gateways.github.repository import Repository
from bot.wiring import Gateways
from policies.documents import InvalidDocument
from workers.approvers import permitted
from workers.deploy_files import DeployFiles
from workers.diagnosis.finding import Diagnosis, State
from workers.diagnosis.github_account import look_at_rights
from workers.observe_pull_request import problems_at


def look_at_repository(gateways: Gateways, name: str, pipelines: list[Pipeline]) -> Iterator[Diagnosis]:
    """What the bot may do there, and every file that it reads; the pipeline is added to `pipelines`."""
    yield from look_at_rights(gateways, name)
    try:
        repository = gateways.github(name)
        head = repository.git.head()
        yield Diagnosis(name, State.GOOD, f"can be read at {head[:10]}")
        yield from _files(repository, head, name, pipelines)
    except PromotionError as error:
        mend = f"does it exist, with a first commit? Let the bot in, or take {name} out of PROMOTION_REPOSITORIES"
        yield Diagnosis.of_error(name, error, mend)


def _files(repository: Repository, head: str, name: str, pipelines: list[Pipeline]) -> Iterator[Diagnosis]:
    files = DeployFiles(repository)
    problems = problems_at(files, head)
    for problem in problems:
        mend = f"mend {problem.source} on the default branch; `promotion-bot policy check` reads policies and pipelines"
        if "no such file" in problem.message:
            mend = f"`promotion-bot init --repository {name}` proposes one"
        yield Diagnosis(f"{name}: {problem.source}", State.BAD, str(problem), mend)
    try:
        pipelines.append(files.pipeline(head).pipeline)
    except InvalidDocument:
        return
    if not problems:
        yield Diagnosis(f"{name}: pipeline, policies, manifest", State.GOOD, "are right")
        yield from _approvals(repository, pipelines[-1], name)


def _approvals(repository: Repository, pipeline: Pipeline, name: str) -> Iterator[Diagnosis]:
    for environment in pipeline.environments:
        what = f"{name}: {environment.name}"
        obstacles: list[str] = []
        allowed = permitted(repository, (*environment.approvals.allowed, *environment.overrides), obstacles)
        for obstacle in obstacles:
            mend = "name a team or a person that there is, in promotion.yaml, and let the App read members"
            yield Diagnosis(what, State.BAD, obstacle, mend)
        count = environment.approvals.count
        if allowed is not None and not obstacles and environment.approvals.allowed and len(allowed) < count:
            says = f"{count} approvals are needed and only {len(allowed)} people may give them"
            yield Diagnosis(what, State.BAD, says, "change approvals in promotion.yaml, or the team's members")
