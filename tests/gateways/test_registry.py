"""The registry gateway against a real MLflow server."""

from __future__ import annotations

import uuid
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mlflow.entities import Metric as MlflowMetric
from mlflow.exceptions import MlflowException

from bot.domain.errors import Misconfigured, Refused, Unreachable
from bot.domain.versions import VersionStatus
from bot.gateways.mlflow_api import Missing, redacted, summary
from bot.gateways.mlflow_webhooks import WEBHOOK_EVENTS, ensure_webhook
from bot.gateways.registry import TAG_VALUE_LIMIT, Registry, cut_tag_value
from bot.sandbox.training import Recipe, train_and_register
from policies.evidence import Metric, RunStatus
from tests.services import mlflow_server
from workers.lineage import read_lineage

HOSTILE_NAMES = [
    "with spaces",
    " leading and trailing ",
    "dots.in.it",
    "it's quoted",
    'with "double" quotes',
    """both ' and " quotes""",
    "backslash\\at end\\",
    "back`tick",
    "percent%25_under%_score",
    "new\nline\tand tab",
    "emoji 🦄🚀",
    "中文モデル",
    "x" * 200,
    "🦄" * 200,
    "a;drop table--",
    "question?mark#hash&ampersand=1+2",
    "<b>@alice &amp; <!-- x -->",
    "name = 'x' OR name LIKE '%'",
]
IMPOSSIBLE_NAMES = ["", " ", ".", "..", "...", "a/b", "../etc", "a:b", "/", "no such model"]


@pytest.fixture
def churn(client, log_model, request):
    """A registered model of the test's own name, with one version; its name."""
    name = f"churn-{request.node.name}"
    run = client.create_run("0")
    model = log_model(run_id=run.info.run_id)
    client.create_registered_model(name)
    client.create_model_version(name, f"models:/{model.model_id}", run.info.run_id, model_id=model.model_id)
    return name


def test_a_version_is_seen_as_it_was_registered(registry, client, churn):
    client.set_registered_model_alias(churn, "champion", "1")
    client.set_registered_model_tag(churn, "team", "risk")
    client.set_model_version_tag(churn, "1", "ticket", "ML-7")

    model = registry.model(churn)

    assert (model.name, model.tags, model.aliases) == (churn, {"team": "risk"}, {"champion": 1})
    version = model.version(1)
    assert version.status is VersionStatus.READY
    assert version.stage == "None"
    assert version.tags == {"ticket": "ML-7"}
    assert version.run_id
    assert version.source.startswith("models:/m-")
    assert abs(datetime.now(UTC) - version.created_at) < timedelta(minutes=5)
    assert model.version(2) is None
    assert model in registry.models()


@pytest.mark.parametrize("name", ["with spaces", "it's quoted", "emoji 🦄🚀", "a@b", "percent%25"])
def test_a_version_is_copied_once_without_the_bots_own_tags(registry, client, churn, name):
    original = f"{churn} {name}"
    client.rename_registered_model(churn, original)
    client.set_model_version_tag(original, "1", "team", "risk")
    client.set_model_version_tag(original, "1", "promotion.production.status", "live")
    client.update_model_version(original, "1", "the first")
    for _ in range(2):
        registry.copy_version(original, 1, f"prod {original}")
    (copy,) = registry.model(f"prod {original}").versions
    assert (copy.copied_from, dict(copy.tags), copy.status) == ((original, 1), {"team": "risk"}, VersionStatus.READY)
    there = client.get_model_version(f"prod {original}", "1")
    assert (there.description, bool(there.run_id)) == ("the first", True)
    first = registry.model(original).versions[0]
    assert registry.version_evidence(registry.model(f"prod {original}"), copy).run.run_id == first.run_id


def test_a_version_that_is_gone_is_not_copied(registry, churn):
    with pytest.raises(Missing):
        registry.copy_version(churn, 7, f"prod-{churn}")
    assert registry.model(f"prod-{churn}") is None, "nothing half-done stays"


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_any_name_that_mlflow_takes_can_be_read_and_written(registry, client, log_model, name):
    client.create_registered_model(name)
    client.create_registered_model(name + "2")
    source = log_model()
    for each in (name, name, name + "2"):
        client.create_model_version(each, f"models:/{source.model_id}", model_id=source.model_id)

    registry.set_version_tags(name, 2, {"promotion.staging.status": "proposed"})
    registry.set_alias(name, "staging", 2)
    registry.set_stage(name, 2, "Staging")

    model = registry.model(name)
    assert model.name == name
    assert [v.version for v in model.versions] == [1, 2]
    assert {v.name for v in model.versions} == {name}
    assert model.versions[1].tags == {"promotion.staging.status": "proposed"}
    assert model.aliases == {"staging": 2}
    assert model.versions[1].stage == "Staging"
    assert model in registry.models()


@pytest.mark.parametrize("name", IMPOSSIBLE_NAMES)
def test_a_model_that_cannot_exist_is_none(registry, name):
    assert registry.model(name) is None


def test_a_prompt_is_no_model(registry, client):
    client.register_prompt("greeting", "Hello {{name}}")

    assert registry.model("greeting") is None
    assert "greeting" not in {model.name for model in registry.models()}


def test_models_are_listed_over_pages_without_loss(registry, client, churn, monkeypatch):
    for number in range(3):
        client.create_registered_model(f"{churn}-{number}")
    whole = registry.models()
    monkeypatch.setattr("bot.gateways.registry._MODELS_A_PAGE", 2)
    monkeypatch.setattr("bot.gateways.registry._VERSIONS_A_PAGE", 2)

    assert registry.models() == whole


def test_a_deleted_version_is_gone_and_its_number_stays_unused(registry, client, churn):
    source = registry.model(churn).version(1).source
    client.delete_model_version(churn, "1")

    assert registry.model(churn).versions == ()
    client.create_model_version(churn, source, model_id=source.removeprefix("models:/"))
    assert [v.version for v in registry.model(churn).versions] == [2]


def test_evidence_of_a_version_whose_run_goes_on(registry, mlflow, client, log_model):
    run = client.create_run("0", tags={"mlflow.user": "dana", "git_commit": "abc"})
    run_id = run.info.run_id
    client.log_param(run_id, "depth", 3)
    model = log_model(run_id=run_id)
    client.create_registered_model("running")
    client.create_model_version("running", f"models:/{model.model_id}", run_id, model_id=model.model_id)
    registered = registry.model("running")

    early = registry.version_evidence(registered, registered.version(1))
    client.log_metric(run_id, "accuracy", 0.8, step=0)
    client.log_metric(run_id, "accuracy", 0.9, step=1)
    client.set_terminated(run_id)
    late = registry.version_evidence(registered, registered.version(1))

    assert (early.run.status, early.metrics) == (RunStatus.RUNNING, ())
    assert (early.run.run_id, early.run.user, early.run.params) == (run_id, "dana", {"depth": "3"})
    assert early.lineage["git_commit"] == "abc"
    signature = registry.model_file(registered.version(1)).signature
    assert signature["inputs"] == '[{"type": "double", "name": "amount", "required": true}]'
    assert signature["params"] is None
    assert late.run.status is RunStatus.FINISHED
    assert late.metrics == (Metric("accuracy", 0.9),)


def test_the_logged_models_metrics_come_before_the_runs_and_know_their_data(registry, client, log_model):
    run_id = client.create_run("0").info.run_id
    first, second = log_model(run_id=run_id), log_model(run_id=run_id)
    now = 1_790_000_000_000

    def log(key, value, model=None, data=None, step=0):
        metric = MlflowMetric(
            key, value, now + step, step, model and model.model_id, data, "1" if data else None, run_id
        )
        client.log_batch(run_id, metrics=[metric])

    log("f1_score", 0.7, first)
    log("f1_score", 0.71, first, data="holdout", step=1)
    log("f1_score", 0.72, first, data="holdout", step=2)
    log("f1_score", 0.4, second, step=3)
    log("loss", float("nan"), step=4)
    client.create_registered_model("two-in-a-run")
    client.create_model_version("two-in-a-run", f"models:/{first.model_id}", run_id, model_id=first.model_id)
    registered = registry.model("two-in-a-run")

    evidence = registry.version_evidence(registered, registered.version(1))

    found = {(m.name, m.dataset): m.value for m in evidence.metrics}
    assert found["f1_score", None] == 0.7
    assert found["f1_score", "holdout"] == 0.72
    assert str(found["loss", None]) == "nan"


def test_a_copied_version_has_the_evidence_of_the_first(registry, client, log_model):
    run_id = client.create_run("0").info.run_id
    model = log_model(run_id=run_id, f1_score=0.9)
    client.log_metric(run_id, "f1_score", 0.1)
    client.create_registered_model("original")
    client.create_model_version("original", f"models:/{model.model_id}", run_id, model_id=model.model_id)
    client.copy_model_version("models:/original/1", "copied")
    copied = registry.model("copied")

    evidence = registry.version_evidence(copied, copied.version(1))

    assert evidence.metrics == (Metric("f1_score", 0.9),)
    assert registry.model_file(copied.version(1)).signature is not None


def test_what_the_bot_writes_is_no_evidence(registry, churn):
    before = registry.model(churn)
    registry.set_version_tags(churn, 1, {"validation_status": "passed", "promoted_from": "None", "release": "2.0.0"})
    registry.set_version_tags(churn, 1, {"promotion.staging.status": "live", "promotional": "yes"})
    registry.set_model_tags(churn, {"promotion.staging.hold": "alice", "owner": "risk"})
    after = registry.model(churn)

    evidence = registry.version_evidence(after, after.version(1))

    assert before.version(1).tags == {}
    assert evidence.tags == {"release": "2.0.0", "promotional": "yes"}
    assert evidence.model_tags == {"owner": "risk"}


def test_a_run_marked_as_deleted_is_read_and_one_that_never_was_is_none(registry, client, log_model, churn):
    model = registry.model(churn)
    run_id = model.version(1).run_id
    client.delete_run(run_id)

    assert registry.version_evidence(model, model.version(1)).run.run_id == run_id

    other = log_model()
    client.create_model_version(churn, f"models:/{other.model_id}", model_id=other.model_id)
    model = registry.model(churn)
    assert registry.version_evidence(model, model.version(2)).run is None


@pytest.mark.parametrize("run_id", ["../x", "no such", "é", " "])
def test_an_id_that_no_run_can_have_names_none(registry, client, run_id):
    """MLflow takes any where the files are in a store of their own, and refuses to read such a run."""
    name = f"fraud-{uuid.uuid4().hex}"
    client.create_registered_model(name)
    client.create_model_version(name, "s3://bucket/model", run_id=run_id)
    model = registry.model(name)
    assert registry.version_evidence(model, model.version(1)).run is None
    assert read_lineage(registry, model, model.version(1)).to_dict()["run"]["status"] == "deleted for good"


def test_an_erased_run_and_logged_model_leave_no_evidence(registry, churn):
    from dataclasses import replace

    model = registry.model(churn)
    erased = replace(model.version(1), run_id="0" * 32, source="models:/m-" + "0" * 32)

    evidence = registry.version_evidence(model, erased)

    assert (evidence.run, evidence.metrics) == (None, ())


@pytest.mark.parametrize(
    "mlmodel",
    [
        None,
        b"",
        b"- a list",
        b"signature: text",
        b"{unclosed",
        b"!!python/object/apply:os.system ['touch /tmp/never']",
        b"\xff\xfe\x00",
        b"[" * 5000,
        b"a: &a [x]\n" + b"".join(b"k%d: {<<: [*a, *a]}\n" % n for n in range(50)),
    ],
)
def test_a_damaged_mlmodel_is_no_signature(registry, client, log_model, mlmodel):
    model = log_model({"model.bin": b"1"} if mlmodel is None else {"MLmodel": mlmodel})
    name = f"damaged-{model.model_id}"
    client.create_registered_model(name)
    client.create_model_version(name, f"models:/{model.model_id}", model_id=model.model_id)
    registered = registry.model(name)

    assert registry.model_file(registered.version(1)).signature is None


def test_writing_twice_is_writing_once(registry, churn):
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            registry.set_stage(churn, 1, "Production")
        registry.set_alias(churn, "champion", 1)
        registry.set_version_tags(churn, 1, {"promotion.production.status": "live", "promotion.production.pr": None})
        registry.set_model_tags(churn, {"promotion.production.hold": None})
        registry.delete_alias(churn, "never-set")

    model = registry.model(churn)
    assert model.version(1).stage == "Production"
    assert model.aliases == {"champion": 1}
    assert model.version(1).tags == {"promotion.production.status": "live"}

    registry.delete_alias(churn, "champion")
    registry.set_version_tags(churn, 1, {"promotion.production.status": None})
    assert registry.model(churn).aliases == {}
    assert registry.model(churn).version(1).tags == {}
    registry.delete_alias("no such model", "champion")


def test_a_stage_moves_nobody_else(registry, client, churn):
    source = registry.model(churn).version(1).source
    client.create_model_version(churn, source, model_id=source.removeprefix("models:/"))
    registry.set_stage(churn, 1, "Production")
    registry.set_stage(churn, 2, "Production")

    assert [v.stage for v in registry.model(churn).versions] == ["Production", "Production"]


def test_long_tag_values_are_cut_where_a_reader_sees_it(registry, churn):
    value = "ä" * (TAG_VALUE_LIMIT + 1)
    registry.set_version_tags(churn, 1, {"promotion.staging.hold": value})
    registry.set_model_tags(churn, {"promotion.staging.hold": value})

    model = registry.model(churn)
    assert model.version(1).tags["promotion.staging.hold"] == cut_tag_value(value)
    assert model.tags["promotion.staging.hold"] == cut_tag_value(value)
    assert cut_tag_value(value) == "ä" * (TAG_VALUE_LIMIT - 1) + "…"
    assert cut_tag_value("short") == "short"


@pytest.mark.parametrize("alias", ["latest", "v12", "two words", ""])
def test_an_alias_that_mlflow_reserves_is_refused(registry, churn, alias):
    with pytest.raises(Refused, match="alias"):
        registry.set_alias(churn, alias, 1)


def test_writing_to_what_is_gone_is_refused(registry, churn):
    with pytest.raises(Missing, match="version 9 of"):
        registry.set_stage(churn, 9, "Staging")
    with pytest.raises(Missing):
        registry.set_alias(churn, "champion", 9)
    with pytest.raises(Missing):
        registry.set_version_tags("no such model", 1, {"a": "b"})


def test_a_token_that_ends_in_a_line_break_is_said_and_not_shown(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hidden\n")
    with pytest.raises(Unreachable, match="does a credential end in a line break") as caught:
        Registry("http://127.0.0.1:9").model("m")
    assert "hidden" not in str(caught.value)


def test_a_server_that_is_away_is_unreachable_and_its_password_unsaid():
    registry = Registry("http://bot:s3cret@127.0.0.1:9")

    for call in (registry.models, lambda: registry.model("churn"), lambda: registry.set_alias("churn", "a", 1)):
        with pytest.raises(Unreachable) as caught:
            call()
        assert "s3cret" not in str(caught.value)
        assert "http://***@127.0.0.1:9" in str(caught.value)
        assert "Connection refused" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("PERMISSION_DENIED", Misconfigured),
        ("UNAUTHENTICATED", Misconfigured),
        ("CUSTOMER_UNAUTHORIZED", Misconfigured),
        ("ENDPOINT_NOT_FOUND", Misconfigured),
        ("NOT_IMPLEMENTED", Misconfigured),
        ("INVALID_PARAMETER_VALUE", Refused),
        ("RESOURCE_DOES_NOT_EXIST", Missing),
        ("INTERNAL_ERROR", Unreachable),
        ("REQUEST_LIMIT_EXCEEDED", Unreachable),
        ("TEMPORARILY_UNAVAILABLE", Unreachable),
    ],
)
def test_each_answer_of_mlflow_has_one_meaning(registry, code, raised):
    from mlflow.protos.databricks_pb2 import ErrorCode

    with pytest.raises(raised, match="do something"), registry.asked_to("do something"):
        raise MlflowException("because", ErrorCode.Value(code))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "Server busy\nRequestId:0a1b2c3d-601e\nTime:2026-11-29T10:00:00.1234567Z\nErrorCode:ServerBusy",
            "Server busy ErrorCode:ServerBusy",
        ),
        (
            "<urllib3.connection.HTTPConnection object at 0x7f12ab34>: refused",
            "<urllib3.connection.HTTPConnection object>: refused",
        ),
        ("SlowDown (Request ID: 4442587FB7D0A2F9)", "SlowDown"),
    ],
)
def test_the_same_error_says_the_same_each_time(said, shown):
    assert summary(Exception(said)) == shown


def test_a_mistake_of_ours_is_not_called_unreachable(registry):
    with pytest.raises(KeyError), registry.asked_to("do something"):
        raise KeyError("x")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:pa55@host/x failed", "https://***@host/x failed"),
        ("GET https://s3/b/k?X-Amz-Signature=abc&d=e said 403", "GET https://s3/b/k?… said 403"),
        ("with url: /b/k?sig=abc (Caused by", "with url: /b/k?… (Caused by"),
        ("mail a@b.c, no URL", "mail a@b.c, no URL"),
    ],
)
def test_what_urls_hide_is_left_out(text, shown):
    assert redacted(text) == shown


def test_the_webhook_is_created_once_and_repaired(registry, client):
    url = "http://127.0.0.1:9/webhooks/mlflow"

    created = ensure_webhook(registry, "promotion-bot", url, "first")
    again = ensure_webhook(registry, "promotion-bot", url, "first")
    client.create_webhook("promotion-bot", url, ["model_version.created"])
    client.create_webhook("somebody-else", url, ["model_version.created"])
    client.update_webhook(
        created.webhook_id, url="http://127.0.0.1:8/old", events=["prompt.created"], status="DISABLED"
    )
    repaired = ensure_webhook(registry, "promotion-bot", url, "second")

    assert created.changes == ("created",)
    assert again == type(again)(created.webhook_id, ())
    assert repaired.webhook_id == created.webhook_id
    text = "; ".join(repaired.changes)
    for part in ("address http://127.0.0.1:8/old", "events added", "prompt.created", "switched on", "deleted"):
        assert part in text
    mine, other = sorted(client.list_webhooks(), key=lambda webhook: webhook.name)
    assert (mine.url, {str(e) for e in mine.events}) == (url, set(WEBHOOK_EVENTS))
    assert mine.status.is_active()
    assert other.name == "somebody-else"


def test_an_address_that_the_server_refuses_names_the_setting(registry):
    with pytest.raises(Misconfigured, match="MLFLOW_WEBHOOK_ALLOWED_SCHEMES"):
        ensure_webhook(registry, "ftp", "ftp://127.0.0.1/x", "secret")


@pytest.mark.slow
def test_webhooks_under_a_lost_key_are_explained(tmp_path: Path):
    with mlflow_server(tmp_path, allow_webhooks=True) as server:
        del server._webhook_settings["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"]
        server.restart()
        registry = Registry(server.url)
        ensure_webhook(registry, "promotion-bot", "http://127.0.0.1:9/x", "secret")
        server.restart()

        with pytest.raises(Misconfigured, match="MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"):
            ensure_webhook(registry, "promotion-bot", "http://127.0.0.1:9/x", "secret")
        server.stop()
        with pytest.raises(Unreachable):
            ensure_webhook(registry, "promotion-bot", "http://127.0.0.1:9/x", "secret")


def test_a_trained_model_is_all_that_a_policy_asks_for(registry, mlflow):
    name = "breast-cancer"
    versions = {recipe: train_and_register(mlflow.url, name, recipe) for recipe in Recipe}
    model = registry.model(name)

    evidence = {
        recipe: registry.version_evidence(model, model.version(version)) for recipe, version in versions.items()
    }

    f1 = {recipe: {m.name: m.value for m in e.metrics}["f1_score"] for recipe, e in evidence.items()}
    assert f1[Recipe.WORSE] < 0.85 < f1[Recipe.GOOD] < f1[Recipe.BETTER]
    signatures = [registry.model_file(model.version(version)).signature for version in versions.values()]
    assert signatures[0] is not None
    assert signatures == [signatures[0]] * len(versions)
    for each in evidence.values():
        assert each.run.status is RunStatus.FINISHED
        assert each.run.user == "dana"
        assert {"git_commit", "data_version"} <= each.lineage.keys()
