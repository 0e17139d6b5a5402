"""The promises that simulation and chaos end with can tell: each world here is right but for one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import timedelta
from random import Random

import pytest

from tests.chaos.found import judged
from tests.simulation.machinery import MACHINERY
from tests.simulation.oracle import BOT
from tests.simulation.promises import End, broken, explained_twins
from tests.simulation.registry import Model, Version
from tests.simulation.said import Said
from tests.simulation.schedule import Schedule
from tests.simulation.world import World

_SEED = 2  # a company that comes with nothing live, on a Monday
_HOLD = "/hold fraud-a in production because of the audit"


class Story:
    """One version that went to production, and one command, while nothing was in trouble."""

    def __init__(self) -> None:
        self.schedule = Schedule(_SEED)
        self.world: World = self.schedule.world
        self.who = "dana-ds"
        self.world.mlflow.models["fraud-a"] = Model("fraud-a")
        self.register(1)
        self.calm()
        self.calm()
        (proposal,) = self.world.repository.pulls()
        proposal.approve("alice")
        proposal.merge("bob")
        self.calm()
        self.issue = self.world.repository.open_issue("Operations", "alice")
        self.comment = self.world.repository.comment(self.issue, self.who, _HOLD)
        self.calm()

    def register(self, number: int, accuracy: float = 0.95) -> None:
        files = {"MLmodel": f"{number}".encode()}
        version = Version(number, self.world.now, {"accuracy": accuracy}, files)
        self.world.mlflow.models["fraud-a"].versions[number] = version

    def calm(self) -> None:
        MACHINERY["calm"](self.schedule, Random(0))

    def end(self) -> End:
        """As it looks from outside, to somebody who comes afterwards."""
        world, at = self.world, self.world.repository.repo.issues[self.issue].comments[0].created_at
        said = [Said(self.comment, self.issue, self.who, _HOLD, at)]
        oracle = judged(world.repository, world.mlflow, world.now)
        return End(world.repository, world.mlflow, oracle, said, world.now)


@pytest.fixture
def story() -> Iterator[Story]:
    told = Story()
    yield told
    told.world.close()


def lose_the_alias(story: Story) -> None:
    story.world.mlflow.models["fraud-a"].aliases.pop("champion")


def archive_what_is_live(story: Story) -> None:
    story.world.mlflow.models["fraud-a"].versions[1].stage = "Archived"


def refuse_in_silence(story: Story) -> None:
    story.register(2, accuracy=0.5)
    text = story.world.repository.file("versions.yaml") or ""
    story.world.repository.push({"versions.yaml": text.replace("version: 1", "version: 2")}, as_user="bob")
    story.calm()
    for issue in story.world.repository.issues():
        issue.title = issue.body = ""


def propose_twice(story: Story) -> None:
    repository = story.world.repository
    for number in (2, 3):
        branch = f"promotion/staging/fraud-a-v{number}"
        repository.push({f"{number}.txt": ""}, branch=branch, as_user=BOT)
        repository.open_pull(branch, "Promote", BOT)


def rule_otherwise(story: Story) -> None:
    story.world.repository.repo.deployments[-1]["payload"]["ruling"] = "refused"


def rule_over_nothing(story: Story) -> None:
    deployments = story.world.repository.repo.deployments
    deployments.append({**deepcopy(deployments[-1]), "sha": "0" * 40})


def lose_the_answer(story: Story) -> None:
    story.world.repository.repo.issues[story.issue].comments[1:] = []


def lose_the_reaction(story: Story) -> None:
    story.world.repository.repo.issues[story.issue].comments[0].reactions.clear()


def obey_a_reader(story: Story) -> None:
    story.who = "rita"


def forget_a_version(story: Story) -> None:
    story.register(2)


def answer_twice(story: Story) -> None:
    comments = story.world.repository.repo.issues[story.issue].comments
    again = deepcopy(comments[-1])
    again.id, again.created_at = again.id + 1, again.created_at + timedelta(hours=2)
    comments.append(again)


def release_twice(story: Story) -> None:
    releases = story.world.repository.repo.releases
    releases.append(deepcopy(releases[-1]))


def never_release(story: Story) -> None:
    story.world.repository.repo.releases.clear()


BREAKS: dict[int, tuple[Callable[[Story], None], ...]] = {
    1: (lose_the_alias, archive_what_is_live, refuse_in_silence),
    2: (propose_twice,),
    3: (rule_otherwise, rule_over_nothing),
    4: (lose_the_answer, lose_the_reaction, obey_a_reader),
    5: (forget_a_version,),
    6: (answer_twice, release_twice, never_release),
}


def test_a_world_without_trouble_breaks_no_promise(story: Story) -> None:
    end = story.end()
    assert end.mlflow.models["fraud-a"].aliases == {"staging": 1, "champion": 1}
    assert [*broken(end)] == []


@pytest.mark.parametrize(
    ("promise", "break_it"), [(promise, each) for promise, all_ in BREAKS.items() for each in all_]
)
def test_what_is_broken_is_noticed(story: Story, promise: int, break_it: Callable[[Story], None]) -> None:
    break_it(story)
    said = [*broken(story.end())]
    assert said
    assert {line[0] for line in said} == {str(promise)}, said


def test_what_was_under_way_when_the_queue_was_lost_may_be_there_twice_and_nothing_later(story: Story) -> None:
    answer_twice(story)
    end = story.end()
    (first, second) = (at for _, at in end.answers[story.comment])
    end.overlaps, end.under_way = [first], second - first
    assert [*broken(end)] == []
    assert len(explained_twins(end)) == 1
    end.under_way = timedelta(seconds=4)
    assert len([*broken(end)]) == 1
