"""Models with the names that people and attackers choose: all that MLflow accepts goes live, and nothing of it acts."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pygit2
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from bot.domain import naming
from bot.domain.keys import RegisteredModelKey, dump_key, parse_key
from bot.settings import Secret
from tests.e2e.house import House, house

# Each holds `{}` where something unique goes, by which the pipeline knows the model.
NAMES = {
    "spaces": "fraud  detector {} ",
    "dots": "fraud...v1.{}..",
    "a lock file": "fraud {}.lock",
    "parents": "{} ..",
    "250 letters": "n" * 230 + "{}",
    "200 letters of three bytes": "模" * 180 + "{}",
    "emoji": "🚀 fraud 👩‍💻 {}",
    "line breaks": "fraud\n{}\n\nPromotion-Version=99\r\nSigned-off-by Eve\n",
    "HTML and a mention": "@acme-team <img src=x onerror=alert({})> <!-- promotion-bot -->",
    "words that close issues": "closes #1, fixes GH-1, resolves acme#1 {}",
    "markdown": "**b** [click](www.evil.example) `code` ``` | {} #1 GH-1 acme#1 \\| ~~x~~",
    "what git refuses": "a~b^c?d*e[f\\g@{{{}%2F..",
    "quotes": "it's \"{}\" \\' --",
    "YAML": "{}: {{a: b}} # & * ! | > % @ ` - ?".replace(":", ""),
    "YAML's own words": "null {}",
    "right to left": "\u202efraud\u202c \u200b{}\ufeff",
    "a flag": "--upload-pack={}",
}


@pytest.fixture
def unique() -> str:
    return str(time.time_ns())


@pytest.fixture(params=NAMES.values(), ids=NAMES.keys())
def named(request: pytest.FixtureRequest, registry_url: str, cache_url: Secret, unique: str) -> Iterator[House]:
    with house(registry_url, cache_url, model=request.param.format(unique), owns=f"*{unique}*") as built:
        yield built


def test_a_model_of_that_name_goes_all_the_way(named: House) -> None:
    named.register()
    assert parse_key(dump_key(RegisteredModelKey(named.model))) == RegisteredModelKey(named.model)
    pull = named.to_production(1)

    assert named.stage(1) == "Production"
    assert named.aliases() == {"staging": 1, "champion": 1}
    assert named.tags(1)["promotion.production.status"] == "live"
    assert named.repository.branches() == ["main"]
    assert pygit2.reference_is_valid_name(f"refs/heads/{pull.head_ref}")
    (tag,) = named.repository.tags()
    assert pygit2.reference_is_valid_name(f"refs/tags/{tag}")
    assert [release["tag_name"] for release in named.repository.releases()] == [tag]
    assert named.repository.issues("all") == []

    view = named.gateways.github(named.repository.repo.full_name)
    assert {recorded.model for recorded in view.deployments.judgements()} == {named.model}
    manifest = named.manifest()
    assert {model for model, _ in manifest.entries} == {named.model}
    assert manifest.entry(named.model, "production") == manifest.entry(named.model, "staging")
    _says_nothing_of_its_own(named)


def _says_nothing_of_its_own(named: House) -> None:
    """What the bot wrote about the model is one line where it must be, and neither mentions, links nor is HTML."""
    repository = named.repository.repo
    for pull in named.repository.pulls("all"):
        assert pull.title == naming.title(pull.labels[1].removeprefix("environment:"), named.model, 1)
        assert not re.search("[\n\r\u202e]", pull.title)
        assert len(pull.title) <= 256
        message = repository.git.repo[pull.head_sha].message
        assert not re.search(r"@\w|#\d|GH-\d", pull.title + message), "merging refers to nothing"
        trailers = re.findall(r"^([A-Za-z-]+): ", message.split("\n\n", 1)[1], re.MULTILINE)
        assert trailers == ["Promotion-Model", "Promotion-Version", "Promotion-Environment", "Promotion-Digest"]
        for text in (pull.body, *_summaries(named, pull.head_sha)):
            bare = _without_code(text)
            for lively in ("@acme", "<img", "www.", "GH-1", "#1", "~~x~~"):
                assert lively not in bare, (lively, text)
        assert pull.body.count("<!-- promotion-bot:settled -->") == 1
    for release in named.repository.releases():
        assert "\n" not in release["name"]
        assert "<img" not in _without_code(release["body"])
        assert "@acme" not in _without_code(release["body"])


def _summaries(named: House, sha: str) -> list[str]:
    return [run["output"]["summary"] for run in named.repository.check_runs(sha)]


def _without_code(text: str) -> str:
    """Markdown without its code spans, in which nothing is read as anything."""
    return re.sub(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", ".", "..", "./a", "a/../b"])
def test_what_mlflow_refuses_itself_is_no_model_and_no_error(name: str, world: House) -> None:
    with pytest.raises(MlflowException):
        MlflowClient(world.gateways.settings.mlflow_tracking_uri).create_registered_model(name)
    assert world.gateways.registry.model(name) is None
    world.event(name or " ")
    assert world.repository.pulls("all") == []
    assert world.repository.issues("all") == []
