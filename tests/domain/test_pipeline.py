from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.pipeline import After, Merge, OnAlias, OnTag, Releases, WhileSoaking, parse_pipeline
from bot.domain.releases import next_release, parse_release
from bot.domain.windows import frozen_by, opens_at
from policies.documents import InvalidDocument
from policies.signatures import Level, compare_signatures

HEAD = "apiVersion: promotion-bot/v1\nkind: Pipeline\nmodels: [fraud-*, churn]\nenvironments:\n"
ENV = "  - {name: staging, policy: p.yaml, registry: {alias: s}}\n"


def one(fields: str, name: str = "staging", registry: str = "{alias: s}") -> str:
    return f"{HEAD}  - {{name: {name}, policy: p.yaml, registry: {registry}, {fields}}}\n"


def test_the_whole_format() -> None:
    pipeline = parse_pipeline(
        HEAD
        + ENV
        + """\
  - name: production
    policy: policies/production.yaml
    propose: {after: staging, soak: 24h, while_soaking: wait}
    merge: manual
    approvals: {count: 2, from: ["@acme/ml-platform", "alice"], not_author: true}
    overrides: {from: ["@acme/ml-leads"]}
    freeze:
      - {from: "Fri 16:00", until: "Mon 08:00", timezone: Europe/Berlin, reason: weekend}
      - {from: "2026-12-20", until: "2027-01-04", reason: year end}
    rollback: {approvals: 0, ignore_freeze: true}
    drift: repair
    group: none
    registry: {stage: Production, alias: champion, archive_existing: true}
identities: {dsmith: dan-smith, ci: none}
releases: {tag: "model-{model}-v{version}", github_release: true}
"""
    )
    assert pipeline.owns("fraud-detector")
    assert pipeline.owns("churn")
    assert not pipeline.owns("churn2")
    production = pipeline.environment("production")
    assert production.propose == After("staging", timedelta(hours=24))
    assert production.while_soaking is WhileSoaking.WAIT
    assert production.merge is Merge.MANUAL
    assert production.approvals.allowed == ("@acme/ml-platform", "alice")
    assert pipeline.identities == {"dsmith": "dan-smith", "ci": None}
    assert pipeline.manifest_paths() == ("versions.yaml",)
    assert pipeline.releases == Releases("model-{model}-v{version}", github_release=True)


def test_other_ways_to_propose() -> None:
    assert parse_pipeline(one("propose: {on_tag: {ready: 'yes'}}")).environments[0].propose == OnTag("ready", "yes")
    assert parse_pipeline(one("propose: {on_alias: challenger}")).environments[0].propose == OnAlias("challenger")


BAD = [
    (one("propose: {after: nowhere}"), "no environment “nowhere”"),
    (one("propose: {after: staging}"), "does not come before"),
    (one("propose: on_registraton"), "did you mean “on_registration”?"),
    (one("merge: maybe"), "auto or manual"),
    (one("merge: auto", registry="{}"), "needs a stage, an alias, or both"),
    (one("merge: auto", registry="{stage: Prod}"), "Staging or Production"),
    (one("merge: auto", registry="{alias: latest}"), "MLflow reserves"),
    (one("merge: auto", registry="{alias: v1}"), "MLflow reserves"),
    (HEAD + ENV + ENV, "two environments"),
    (one("freeze: [{from: Fry 16:00, until: Mon 08:00}]"), "neither a weekly time"),
    (one("freeze: [{from: Fri 16:00, until: '2026-01-01'}]"), "both be weekly or both be dates"),
    (one("freeze: [{from: '2026-02-01', until: '2026-01-01'}]"), "ends before it starts"),
    (one("freeze: [{from: Fri 16:00, until: Mon 08:00, timezone: Mars/Base}]"), "no time zone"),
    (one("merge: auto") + "manifest: ../versions.yaml\n", "not a path inside the repository"),
    (one("merge: auto") + "manifest: 'x/{model}.yaml'\n", "only {environment}"),
    (one("merge: auto") + "releases: {tag: 'v{nothing}'}\n", "can be filled into a tag"),
    (one("merge: auto") + "releases: {tag: always}\n", "each tag must differ"),
    (one("merge: auto") + f"manifest: '{'{' * 50_000}'\n", "does not fit “manifest”"),
    (one("merge: auto") + "manifest: 'x/{environment'\n", "only {environment}"),
    (one("merge: auto") + 'manifest: "x\\0"\n', "not a path inside the repository"),
    (one("merge: auto", name='"staging\\n"'), "does not fit “name”"),
    (one("approvals: {count: 1.0}"), "1.0 is not the integer"),
    (one("propose: {after: staging, soak: 100000d}"), "a duration such as"),
    (one("freeze: [{from: 'Fri 16:00Z', until: Mon 08:00}]"), "neither a weekly time"),
    (one("freeze: [{from: '2026-12-20T10:00+14:00', until: '2027-01-04'}]"), "neither a weekly time"),
    (one("freeze: [{from: '0001-01-01', until: '2027-01-04'}]"), "nor a date such as"),
    (one("freeze: [{from: '2026-12-20', until: '9999-12-31'}]"), "nor a date such as"),
    (one("group: 0 0 30 2 *"), "a cron expression that fires"),
    (one("group: 'R 0 * * *'"), "a cron expression that fires"),
    (one("group: '* * * * * *'"), "a cron expression that fires"),
    (one("merge: auto") + f"# {'x' * 2**18}", "is larger than 256 KB"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=[message for _, message in BAD])
def test_a_bad_pipeline_says_what_and_where(text: str, message: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse_pipeline(text)
    assert message in str(caught.value)
    assert all(problem.line >= 5 for problem in caught.value.problems if "larger" not in problem.message)


FREEZES = (
    parse_pipeline(
        one(
            'freeze: [{from: "Fri 16:00", until: "Mon 08:00", timezone: Europe/Berlin, reason: weekend},'
            ' {from: "2026-12-20", until: "2027-01-04", reason: year end}]'
        )
    )
    .environments[0]
    .freeze
)


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        ("2026-11-27T14:59", None),
        ("2026-11-27T15:00", "2026-11-30T07:00"),
        ("2026-11-30T06:59", "2026-11-30T07:00"),
        ("2026-11-30T07:00", None),
        ("2026-07-03T14:00", "2026-07-06T06:00"),  # summer time
        ("2026-10-24T12:00", "2026-10-26T07:00"),  # the clocks go back inside the freeze
        ("2026-12-19T12:00", "2027-01-04T07:00"),  # a weekend runs into the year's end, which runs into a weekend
    ],
)
def test_windows(at: str, opens: str | None) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    expected = datetime.fromisoformat(opens).replace(tzinfo=UTC) if opens else None
    assert opens_at(FREEZES, moment) == expected
    assert (frozen_by(FREEZES, moment) is None) == (opens is None)


def column(name: str, kind: str = "double", *, required: bool = True) -> dict[str, object]:
    return {"name": name, "type": kind, "required": required}


A, B = column("a"), column("b")


@pytest.mark.parametrize(
    ("old", "new", "level"),
    [
        ({"inputs": [A]}, {"inputs": [A]}, Level.PATCH),
        ({"inputs": [A, B]}, {"inputs": [A]}, Level.MAJOR),
        ({"inputs": [A]}, {"inputs": [A, B]}, Level.MAJOR),
        ({"inputs": [A]}, {"inputs": [A, column("b", required=False)]}, Level.MINOR),
        ({"inputs": [A]}, {"inputs": [column("a", "string")]}, Level.MAJOR),
        ({"inputs": [column("a", required=False)]}, {"inputs": [A]}, Level.MAJOR),
        ({"outputs": [A]}, {"outputs": [A, B]}, Level.MINOR),
        ({"outputs": [A, B]}, {"outputs": [A]}, Level.MAJOR),
        ({"params": []}, {"params": [{"name": "t", "type": "double", "default": 1}]}, Level.MINOR),
        (None, None, Level.PATCH),
        (None, {"inputs": [A]}, Level.MINOR),
        ({"inputs": [A]}, None, Level.MAJOR),
    ],
)
def test_signatures(old: dict[str, object] | None, new: dict[str, object] | None, level: Level) -> None:
    assert compare_signatures(old, new).level is level


def test_releases() -> None:
    assert next_release(None, Level.MAJOR) == "1.0.0"
    assert [next_release("1.4.9", level) for level in Level] == ["1.4.10", "1.5.0", "2.0.0"]
    assert max(["1.9.0", "1.10.0"], key=parse_release) == "1.10.0"
    for wrong in ("1", "1.2", "v1.2.3", "01.2.3", "1.2.3-rc1", "²"):
        with pytest.raises(ValueError, match="is not a release"):
            parse_release(wrong)
