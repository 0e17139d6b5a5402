"""What DVC tracks, read through GitHub from a repository that git and the real `dvc` made."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import redis
from moto.server import ThreadedMotoServer

from bot.domain.errors import Misconfigured, Refused
from bot.gateways.cache import Cache
from bot.gateways.dvc.access import Access
from bot.gateways.dvc.tracking import Dvc
from bot.gateways.github.client import GitHubClient
from bot.gateways.github.git import Git
from bot.gateways.github.repository import Repository
from bot.sandbox.github import GitHubSandbox, SandboxRepository
from bot.settings import Secret
from policies.evidence import Recorded, StoredDirectory, Tracked, TrackedOutput, Unreadable
from tests.dvc_project import DvcProject

CSV = Tracked("acme/training", "data/all.csv.dvc")
FOLDER = Tracked("acme/training", "data/images.dvc")
MODEL = Tracked("acme/training", "dvc.lock", Recorded.MODEL, "models/m.pkl")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DvcProject:
    """Data, a folder and a pipeline's model, pushed to a remote; two versions of the data, each with a git tag."""
    folder = tmp_path_factory.mktemp("training")
    project = DvcProject.create(folder / "work", str(folder / "store"))
    project.write("data/all.csv", "a,b\n1,2\n")
    project.write("data/images/one.txt", "1")
    project.write("data/images/two.txt", "2")
    project.dvc("add", "data/all.csv", "data/images")
    stage = ("--name", "train", "--deps", "data/all.csv", "--outs", "models/m.pkl")
    project.dvc("stage", "add", *stage, "mkdir -p models && cp data/all.csv models/m.pkl")
    project.dvc("repro")
    project.dvc("push")
    project.commit("First data")
    project.git("tag", "data-v1.0")
    project.write("data/all.csv", "a,b\n1,2\n3,4\n")
    project.dvc("add", "data/all.csv")
    project.dvc("push")
    project.commit("More data")
    project.git("tag", "--annotate", "--message", "More", "data/v2")
    return project


@pytest.fixture
def github() -> Iterator[GitHubSandbox]:
    with GitHubSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def training(github: GitHubSandbox, made: DvcProject) -> SandboxRepository:
    training = github.add_repository("acme/training", {"a": "1"}, {"bot": "read"})
    made.push_to(training)
    return training


@pytest.fixture
def git(github: GitHubSandbox, training: SandboxRepository, valkey: redis.Redis) -> Git:
    client = GitHubClient(github.api_url, Secret(github.add_token("bot")), Cache(valkey))
    return Repository(client, Cache(valkey), "acme/training").git


@pytest.fixture
def dvc(made: DvcProject) -> Dvc:
    return Dvc(Access(roots=(Path(made.remote).parent,)))


def test_data_is_found_at_its_commit_with_its_version_and_its_object(
    dvc: Dvc, git: Git, made: DvcProject, training: SandboxRepository
) -> None:
    now, newest = training.head(), made.hash_of("data/all.csv.dvc")
    found = dvc.tracked(git, CSV, now, "data/v2")
    assert found == TrackedOutput(now, "data/all.csv", newest, newest, made.remote, stored=True)
    assert dvc.tracked(git, CSV, now[:12], "").commit == now
    before = made.git("rev-parse", "data-v1.0").strip()
    old = dvc.tracked(git, CSV, before, "data-v1.0")
    assert (old.stored, old.hash == old.hash_at_version, old.hash != newest) == (True, True, True)
    assert dvc.tracked(git, CSV, before, "data/v2").hash_at_version == newest


def test_a_directory_and_a_pipelines_output_are_found(dvc: Dvc, git: Git, training: SandboxRepository) -> None:
    folder = dvc.tracked(git, FOLDER, training.head(), "data-v1.0")
    assert folder.hash.endswith(".dir")
    assert folder.stored == StoredDirectory(files=2, looked_for=2)
    model = dvc.tracked(git, MODEL, training.head(), "")
    assert (model.path, model.stored, model.hash_at_version) == ("models/m.pkl", True, None)


def test_a_deleted_object_and_a_remote_that_is_away_are_told_apart(
    dvc: Dvc, git: Git, made: DvcProject, training: SandboxRepository
) -> None:
    place = made.object_of(made.hash_of("data/all.csv.dvc"))
    aside = place.with_name("aside")
    place.rename(aside)
    assert dvc.tracked(git, CSV, training.head(), "").stored is False
    aside.rename(place)
    store = Path(made.remote)
    store.rename(store.with_name("away"))
    stored = dvc.tracked(git, CSV, training.head(), "").stored
    store.with_name("away").rename(store)
    assert isinstance(stored, Unreadable)
    assert "is it mounted?" in stored.reason


def test_a_file_that_is_gone_from_a_directory_is_named_once_it_is_looked_for_again(
    made: DvcProject, git: Git, training: SandboxRepository
) -> None:
    now, commit = [0.0], training.head()
    dvc = Dvc(Access(roots=(Path(made.remote).parent,)), clock=lambda: now[0])
    place = made.object_of(hashlib.md5(b"2").hexdigest())
    assert dvc.tracked(git, FOLDER, commit, "").stored == StoredDirectory(2, 2)
    aside = place.with_name("aside")
    place.rename(aside)
    assert dvc.tracked(git, FOLDER, commit, "").stored == StoredDirectory(2, 2), "for a minute"
    elsewhere = training.push({".dvc/config": training.file(".dvc/config") + "    account_name = other\n"})
    assert dvc.tracked(git, FOLDER, elsewhere, "").stored == StoredDirectory(2, 2, "two.txt"), "of this remote alone"
    now[0] += 60
    for _ in range(2):
        assert dvc.tracked(git, FOLDER, commit, "").stored == StoredDirectory(2, 2, "two.txt")
    aside.rename(place)
    assert dvc.tracked(git, FOLDER, commit, "").stored == StoredDirectory(2, 2), "what was missing is not kept"


def test_a_damaged_listing_is_an_error(dvc: Dvc, git: Git, made: DvcProject, training: SandboxRepository) -> None:
    place = made.object_of(made.hash_of("data/images.dvc"))
    right = place.read_bytes()
    place.chmod(0o644)
    place.write_bytes(b"[]")
    stored = dvc.tracked(git, FOLDER, training.head(), "").stored
    place.write_bytes(right)
    assert isinstance(stored, Unreadable)
    assert "the listing of data/images" in stored.reason


def test_a_remote_that_may_not_be_asked_is_part_of_what_is_found(git: Git, training: SandboxRepository) -> None:
    stored = Dvc(Access()).tracked(git, CSV, training.head(), "").stored
    assert isinstance(stored, Unreadable)
    assert "PROMOTION_DVC_ROOTS" in stored.reason


@pytest.mark.parametrize(
    "version", ["no-such-tag", "main", "../../../user", "a..b", "x y", "-x", "", "a" * 500, "\nv", "tags/data-v1.0"]
)
def test_what_names_no_tag_names_no_version(
    dvc: Dvc, git: Git, github: GitHubSandbox, training: SandboxRepository, version: str
) -> None:
    assert dvc.tracked(git, CSV, training.head(), version).hash_at_version is None
    assert all(request.path.startswith("/repos/acme/training") for request in github.requests)


def test_what_is_not_there_is_refused_with_its_place(dvc: Dvc, git: Git, training: SandboxRepository) -> None:
    def refusal(wanted: Tracked, commit: str) -> str:
        with pytest.raises(Refused) as refused:
            dvc.tracked(git, wanted, commit, "")
        return str(refused.value)

    assert refusal(CSV, "c0ffee" * 6 + "c0ff") == "c0ffeec0ffee is not in acme/training"
    assert "there is no data/none.dvc in acme/training at" in refusal(
        Tracked("acme/training", "data/none.dvc"), training.head()
    )
    assert "has no output models/x" in refusal(Tracked("acme/training", "dvc.lock", output="models/x"), training.head())
    assert "has no remote “cold”" in refusal(
        Tracked("acme/training", "data/all.csv.dvc", remote="cold"), training.head()
    )
    big = training.push({"data/all.csv.dvc": "# " + "x" * 1024 * 1024})
    assert "is no file of at most 1048576 bytes" in refusal(CSV, big)
    folder = training.push({"data/all.csv.dvc": None, "data/all.csv.dvc/x": "x"})
    assert "is no file of at most" in refusal(CSV, folder)
    without = training.push(
        {".dvc/config": None, "data/all.csv.dvc/x": None, "a.dvc": f"outs: [{{md5: {'a' * 32}, path: a}}]"}
    )
    assert "there is no .dvc/config above a.dvc" in refusal(Tracked("acme/training", "a.dvc"), without)


def test_a_branch_that_is_called_like_a_commit_is_none(dvc: Dvc, git: Git, training: SandboxRepository) -> None:
    training.push({"x": "y"}, branch="deadbeef")
    with pytest.raises(Refused, match="deadbeef is not in acme/training"):
        dvc.tracked(git, CSV, "deadbeef", "")


def test_a_project_in_a_folder_has_its_own_configuration(dvc: Dvc, git: Git, training: SandboxRepository) -> None:
    row = f"outs: [{{md5: {'a' * 32}, hash: md5, path: a}}]"
    config = "[core]\nremote = s\n['remote \"s\"']\nurl = /elsewhere\n"
    commit = training.push({"team/.dvc/config": config, "team/data/a.dvc": row})
    stored = dvc.tracked(git, Tracked("acme/training", "team/data/a.dvc"), commit, "").stored
    assert isinstance(stored, Unreadable)
    assert "/elsewhere" in stored.reason


def test_a_remote_in_s3_is_asked_as_the_repository_says(
    git: Git, made: DvcProject, training: SandboxRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", endpoint)
    options = f"    url = s3://acme/dvc\n    endpointurl = {endpoint}\n    region = us-east-1\n"
    commit = training.push({".dvc/config": f"[core]\n    remote = cloud\n['remote \"cloud\"']\n{options}"})
    place = made.object_of(made.hash_of("data/all.csv.dvc"))
    try:
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        client.create_bucket(Bucket="acme")
        assert Dvc(Access()).tracked(git, CSV, commit, "").stored is False
        client.upload_file(str(place), "acme", f"dvc/{place.relative_to(made.remote)}")
        assert Dvc(Access()).tracked(git, CSV, commit, "").stored is True
    finally:
        server.stop()


def test_an_app_that_may_not_read_contents_says_which_permission(
    github: GitHubSandbox, dvc: Dvc, git: Git, training: SandboxRepository
) -> None:
    github.fail("GET /repos/acme/training/commits/", 1, 403, **{"X-Accepted-GitHub-Permissions": "contents=read"})
    with pytest.raises(Misconfigured, match="contents=read"):
        dvc.tracked(git, CSV, training.head(), "data-v1.0")


def test_a_repository_that_the_bot_cannot_read_says_which_permission(
    github: GitHubSandbox, dvc: Dvc, valkey: redis.Redis
) -> None:
    github.add_repository("acme/secret", {"a": "1"}, {})
    client = GitHubClient(github.api_url, Secret(github.add_token("bot")), Cache(valkey))
    with pytest.raises(Misconfigured, match="Contents: read"):
        dvc.tracked(Repository(client, Cache(valkey), "acme/secret").git, CSV, "c0ffee0", "")
