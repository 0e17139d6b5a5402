"""The `data` check: every way in which what was recorded and what DVC has can differ, and how a policy says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from policies.cases import never_failing, parse_cases, run_case
from policies.documents import InvalidDocument
from policies.evidence import (
    Evidence,
    Part,
    Recorded,
    Run,
    RunStatus,
    StoredDirectory,
    Tracked,
    TrackedOutput,
    Unreadable,
    Unusable,
)
from policies.policy import Policy, parse_policy
from policies.verdict import Status
from tests.policies.test_engine import EVIDENCE, SUBJECT, outcome

HEAD = "apiVersion: promotion-bot/v1\nkind: Policy\nname: p\nchecks:\n"
MD5 = "0123456789abcdef0123456789abcdef"
HASH, OTHER = f"md5:{MD5}", f"md5:{'f' * 32}"
COMMIT = "c0ffee" * 6 + "c0ff"
TAGS = {"git_commit": COMMIT, "data_version": "data-v1", "data_hash": HASH, "model_hash": HASH}
DATA = Tracked("acme/training", "data/all.csv.dvc")
MODEL = Tracked("acme/training", "dvc.lock", Recorded.MODEL, "models/m.pkl", "cold")
FOUND = TrackedOutput(COMMIT, "data/all.csv", HASH, HASH, "s3://acme/dvc", stored=True)
CHECK = "data: {dvc: data/all.csv.dvc, repository: acme/training}"
OF_MODEL = "data: {dvc: dvc.lock, repository: acme/training, of: model, path: models/m.pkl, remote: cold}"
UNTAGGED = replace(FOUND, hash_at_version=None)
DIRECTORY = replace(FOUND, hash=f"{HASH}.dir")
AWAY = Unreadable("the bot needs s3:GetObject on bucket acme")


def recorded(found: object = FOUND, need: Tracked = DATA, **tags: str | None) -> Evidence:
    """A version with the tags of a well recorded one, or others, and what DVC has."""
    run = Run("r1", RunStatus.FINISHED, "dana", tags={k: v for k, v in {**TAGS, **tags}.items() if v is not None})
    tracked: Mapping[Tracked, object] = {need: found}
    return replace(EVIDENCE, subject=replace(SUBJECT, run=run), tracked=tracked)  # type: ignore[arg-type]


def of_model(found: object, **tags: str | None) -> Evidence:
    return recorded(found, MODEL, **tags)


TABLE = [
    ("as recorded", CHECK, recorded(), Status.PASS, "data/all.csv at c0ffeec0ffee is md5:0123"),
    ("a directory", CHECK, recorded(DIRECTORY, data_hash=f"{HASH}.dir", data_version=MD5[:12]), Status.PASS,
     ".dir, called 012345"),
    ("version is a prefix", CHECK, recorded(UNTAGGED, data_version=MD5[:12]), Status.PASS, ""),
    ("version is the hash", CHECK, recorded(UNTAGGED, data_version=HASH), Status.PASS, ""),
    ("prefix too short", CHECK, recorded(UNTAGGED, data_version=MD5[:6]), Status.FAIL,
     "no git tag of acme/training"),
    ("prefix too short with its algorithm", CHECK, recorded(UNTAGGED, data_version=f"md5:{MD5[:6]}"), Status.FAIL,
     "no git tag of acme/training"),
    ("wrong prefix", CHECK, recorded(UNTAGGED, data_version="f" * 12), Status.FAIL,
     "nor a part of md5:0123"),
    ("no such tag", CHECK, recorded(UNTAGGED), Status.FAIL, "data_version is “data-v1”"),
    ("tag of other data", CHECK, recorded(replace(FOUND, hash_at_version=OTHER)), Status.FAIL,
     f"is {OTHER}, not {HASH}"),
    ("hash differs", CHECK, recorded(replace(FOUND, hash=OTHER)), Status.FAIL, f"data_hash is {HASH}, data/all.csv at"),
    ("hash differs, remote away", CHECK, recorded(replace(FOUND, hash=OTHER, stored=AWAY)), Status.FAIL, OTHER),
    ("deleted", CHECK, recorded(replace(FOUND, stored=False)), Status.FAIL, "is not in s3://acme/dvc"),
    ("directory whole", CHECK, recorded(replace(FOUND, stored=StoredDirectory(2, 2))), Status.PASS,
     "is in s3://acme/dvc with its 2 files"),
    ("directory of one", CHECK, recorded(replace(FOUND, stored=StoredDirectory(1, 1))), Status.PASS, "its 1 file"),
    ("directory is large", CHECK, recorded(replace(FOUND, stored=StoredDirectory(25_000, 1_000))), Status.PASS,
     "in s3://acme/dvc, where the first 1,000 of its 25,000 files were looked for"),
    ("a file is gone", CHECK, recorded(replace(FOUND, stored=StoredDirectory(2, 2, "a/1.png"))), Status.FAIL,
     "a/1.png of data/all.csv is not in s3://acme/dvc"),
    ("remote away", CHECK, recorded(replace(FOUND, stored=AWAY)), Status.ERROR, "s3:GetObject"),
    ("repository away", CHECK, recorded(Unreadable("give it “Contents: read”")), Status.ERROR, "Contents: read"),
    ("commit not there", CHECK, recorded(Unusable("no such commit")), Status.FAIL, "no such commit"),
    ("not asked", CHECK, recorded(None), Status.PENDING, "was not asked yet"),
    ("run away", CHECK, replace(EVIDENCE, subject=replace(SUBJECT, run=Unreadable("away"))), Status.ERROR, "away"),
    ("no commit", CHECK, recorded(git_commit=None), Status.PENDING, "git_commit"),
    ("no hash", CHECK, recorded(data_hash=None), Status.PENDING, "data_hash"),
    ("no version", CHECK, recorded(data_version=None), Status.PENDING, "data_version"),
    ("empty hash", CHECK, recorded(data_hash=" "), Status.FAIL, "“data_hash” is empty"),
    ("no commit id", CHECK, recorded(git_commit="main"), Status.FAIL, "which is no commit"),
    ("no md5", CHECK, recorded(data_hash=MD5), Status.FAIL, "which is no hash"),
    ("another algorithm", CHECK, recorded(data_hash=f"sha256:{MD5}"), Status.FAIL, "which is no hash"),
    ("nothing recorded", CHECK, EVIDENCE, Status.PENDING, "data_hash"),
    ("model", OF_MODEL, of_model(replace(UNTAGGED, path="models/m.pkl")), Status.PASS, "models/m.pkl"),
    ("model without data", OF_MODEL, of_model(FOUND, data_version=None, data_hash=None), Status.PASS, ""),
    ("model differs", OF_MODEL, of_model(FOUND, model_hash=OTHER), Status.FAIL, f"model_hash is {OTHER}"),
    ("model not recorded", OF_MODEL, of_model(FOUND, model_hash=None), Status.PENDING, "model_hash"),
    ("model deleted", OF_MODEL, of_model(replace(FOUND, stored=False)), Status.FAIL, "is not in"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "evidence", "status", "says"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE])
def test_the_check_says(check: str, evidence: Evidence, status: Status, says: str) -> None:
    found = outcome(check, evidence)
    assert found.status is status, found
    assert says in found.measured
    assert found.required
    assert bool(found.remedy) == (status is not Status.PASS) or status is Status.PENDING


def test_tags_of_the_version_stay_when_its_run_is_deleted() -> None:
    kept = replace(SUBJECT, run=None, tags=TAGS)
    assert outcome(CHECK, replace(EVIDENCE, subject=kept, tracked={DATA: FOUND})).status is Status.PASS


def policy(text: str, files: Mapping[str, str] | None = None) -> Policy:
    return parse_policy(HEAD + text, "p.yaml", lambda path: (files or {}).get(path, "").encode() or None)


GIT = "lineage: {require: [git_commit], git: {repository: acme/%s, branch: main}}"
PLAIN = "data: {dvc: data/all.csv.dvc}"


@pytest.mark.parametrize(
    "text",
    [
        f"  - {{id: l, {GIT % 'training'}}}\n  - {{id: d, {PLAIN}}}\n",
        f"  - {{id: d, {PLAIN}}}\n  - {{id: l, {GIT % 'training'}}}\n",
        f"  - {{id: d, any: [{{{PLAIN}}}]}}\n  - {{id: l, all: [{{{GIT % 'training'}}}]}}\n",
        f"  - {{id: d, not: {{all: [{{{PLAIN}}}]}}}}\n  - {{id: l, {GIT % 'training'}}}\n",
        f"  - {{id: d, {CHECK}}}\n  - {{id: l, {GIT % 'other'}}}\n",
        f"  - {{id: d, {CHECK}}}\n",
    ],
)
def test_the_repository_is_that_of_the_lineage_check_unless_it_is_named(text: str) -> None:
    assert DATA in policy(text).needs


def test_a_policy_that_is_extended_names_the_repository_too() -> None:
    base = HEAD + f"  - {{id: l, {GIT % 'training'}}}\n"
    extending = (
        f"apiVersion: promotion-bot/v1\nkind: Policy\nname: p\nextends: [base.yaml]\nchecks:\n  - {{id: d, {PLAIN}}}\n"
    )
    assert DATA in parse_policy(extending, "p.yaml", lambda _: base.encode()).needs
    replaced = extending + f"  - {{id: l, {GIT % 'elsewhere'}}}\n"
    assert replace(DATA, repository="acme/elsewhere") in parse_policy(replaced, "p.yaml", lambda _: base.encode()).needs


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"  - {{id: d, {PLAIN}}}\n", "p.yaml:5:13: lacks the key “repository”: the policy's lineage checks name none"),
        (
            f"  - {{id: d, {PLAIN}}}\n  - {{id: a, {GIT % 'a'}}}\n  - {{id: b, {GIT % 'b'}}}\n",
            "look into acme/a and acme/b",
        ),
        ("  - {id: d, data: {dvc: data/all.csv, repository: a/b}}\n", "path of a .dvc file or a dvc.lock"),
        ("  - {id: d, data: {dvc: /data/all.csv.dvc, repository: a/b}}\n", "path of a .dvc file or a dvc.lock"),
        ("  - {id: d, data: {dvc: a.dvc, repository: a/b, of: code}}\n", "expected data or model"),
        ("  - {id: d, data: {dvc: a.dvc, repositry: a/b}}\n", "did you mean “repository”?"),
        ("  - {id: d, data: {repository: a/b}}\n", "lacks the key “dvc”"),
    ],
)
def test_what_is_wrong_in_a_policy_is_said_at_its_place(text: str, says: str) -> None:
    with pytest.raises(InvalidDocument) as invalid:
        policy(text)
    assert says in str(invalid.value)


def test_the_check_asks_for_the_run_and_for_what_dvc_tracks() -> None:
    assert policy(f"  - {{id: d, {CHECK}}}\n").needs == {Part.RUN, DATA}
    assert policy(f"  - {{id: d, {OF_MODEL}}}\n").needs == {Part.RUN, MODEL}


CASES = """\
apiVersion: promotion-bot/v1
kind: PolicyTest
cases:
  - {name: real, given: {tags: &tags, data: as_recorded}, expect: {d: pass}}
  - {name: changed, given: {tags: &tags, data: changed}, expect: {d: fail}}
  - {name: renamed, given: {tags: &tags, data: other_version}, expect: {d: fail}}
  - {name: deleted, given: {tags: &tags, data: deleted}, expect: {d: fail}}
  - {name: incomplete, given: {tags: &tags, data: incomplete}, expect: {d: fail}}
  - {name: untracked, given: {tags: &tags, data: untracked}, expect: {d: fail}}
  - {name: away, given: {tags: &tags, data: unreachable}, expect: {d: error}}
  - {name: not asked, given: {tags: &tags}, expect: {d: pending}}
  - {name: not recorded, given: {data: as_recorded}, expect: {d: pending}}
"""


@pytest.mark.parametrize("check", [CHECK, OF_MODEL.replace("model,", "data,")])
def test_cases_give_what_dvc_has(check: str) -> None:
    tested = policy(f"  - {{id: d, {check}}}\n")
    tags = "{" + ", ".join(f"{name}: '{value}'" for name, value in TAGS.items()) + "}"
    results = tuple(run_case(tested, case) for case in parse_cases(CASES.replace("&tags", tags), "p.test.yaml", tested))
    assert [result.wrong for result in results] == [()] * 9
    assert never_failing(tested, results) == ()
