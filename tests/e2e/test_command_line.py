"""The command line against a real registry and the GitHub stand-in: what a person at a terminal does and sees."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot.cli import cli
from bot.domain.errors import Misconfigured, PromotionError, Refused, Unreachable
from bot.settings import Secret
from bot.wiring import build
from tests.conftest import wait_until
from tests.e2e.conftest import Run
from tests.e2e.house import House, house
from workers.reading import entry_of, registered, version_of, view_of


def test_status_history_and_compare_tell_what_became_of_a_model(world: House, run: Run) -> None:
    world.register()
    world.to_production(1)
    world.register(accuracy=0.97)
    world.event()

    status = run("status", world.model, "--json")
    assert status.exit_code == 0, status.output
    cells = {cell["environment"]: cell for cell in json.loads(status.stdout)}
    assert cells["staging"]["live"]["version"] == 2
    assert cells["production"]["live"]["version"] == 1
    [proposed] = cells["production"]["proposed"]
    assert (proposed["version"], proposed["pull_request"]) == (2, world.proposed("production", 2).number)
    assert proposed["waits_for"] == "2 approvals of @acme/ml-platform"
    assert "v1 (1.0.0)" in run("status").stdout

    history = json.loads(run("history", world.model, "--json").stdout)
    assert [(h["environment"], h["from"], h["to"]) for h in history] == [
        ("staging", 1, 2),
        ("production", None, 1),
        ("staging", None, 1),
    ]
    assert history[1]["by"] == "bob"
    assert history[1]["status"] == "live"
    assert history[1]["evidence"].startswith("pass: accuracy-floor pass")
    assert "Promote" in history[1]["message"] or "Merge pull request" in history[1]["message"]

    compared = json.loads(run("compare", world.model, "1", "2", "--json").stdout)
    assert {"name": "accuracy", "before": 0.95, "after": 0.97} in compared["metrics"]
    assert "accuracy" in run("compare", world.model, "1", "2").stdout


def test_a_person_sees_what_the_bot_recorded(world: House, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    world.register()
    world.to_production(1)
    own = run("status", world.model, login="dana-ds")
    assert "v1 (1.0.0)" not in own.stdout
    assert "dana-ds has never recorded anything" in own.stderr
    monkeypatch.setenv("PROMOTION_BOT_LOGIN", str(world.gateways.login()))
    shown = run("status", world.model, "--json", login="dana-ds")
    assert [cell["live"]["version"] for cell in json.loads(shown.stdout)] == [1, 1]
    world.register(f1_score=0.5)
    judged = run("validate", world.model, "2", "--environment", "production", "--json", login="dana-ds")
    outcomes = {each["check"]: each["status"] for each in json.loads(judged.stdout)["verdict"]["outcomes"]}
    assert outcomes["beats-champion"] == "fail"
    assert (shown.stderr, judged.stderr) == ("", "")


def test_drift_is_told_and_nothing_is_changed(world: House, run: Run) -> None:
    world.register()
    world.to_production(1)
    assert run("drift").exit_code == 0
    world.mlflow.delete_registered_model_alias(world.model, "champion")
    found = run("drift", world.model)
    assert found.exit_code == 1
    assert "the alias champion is not there" in found.stdout
    assert "champion" not in world.aliases()


def test_validate_ends_with_what_the_policy_says(world: House, run: Run) -> None:
    world.register()
    world.register(accuracy=0.5)
    assert run("validate", world.model, "1", "--environment", "staging").exit_code == 0
    refused = run("validate", world.model, "2", "--environment", "staging", "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["verdict"]["status"] == "fail"


def test_a_person_promotes_and_rolls_back_with_their_own_rights(world: House, run: Run) -> None:
    world.register()
    world.to_production(1)
    world.register(accuracy=0.5)
    opened = run("promote", f"{world.model}@2", "--environment", "production", "--json", login="dana-ds")
    assert opened.exit_code == 0, opened.output
    pull = world.repository.pull(json.loads(opened.stdout)["pull_request"])
    assert pull.author == "dana-ds"
    assert pull.head_ref == f"promote/production/{world.model}-v2"
    again = run("promote", f"{world.model}@2", "--environment", "production", "--json", login="dana-ds")
    assert json.loads(again.stdout)["pull_request"] == pull.number
    world.settle()
    assert pull.check("promotion/policy") == "failure"
    waited = run("promote", f"{world.model}@2", "--environment", "production", "--wait", login="dana-ds")
    assert waited.exit_code == 1
    assert "promotion/policy: failure" in waited.stdout
    pull.close("dana-ds")

    world.register(accuracy=0.97)
    world.to_production(3)
    back = run("rollback", world.model, "--environment", "production", "--json", login="dana-ds")
    assert back.exit_code == 0, back.output
    pull = world.repository.pull(json.loads(back.stdout)["pull_request"])
    world.settle()
    assert [pull.check(f"promotion/{gate}") for gate in ("policy", "approvals", "window")] == ["success"] * 3
    pull.merge("dana-ds")
    world.settle()
    assert world.stage(1) == "Production"


def test_a_version_is_promoted_to_the_first_environment_that_lacks_it(world: House, run: Run) -> None:
    world.register()
    world.event()
    opened = run("promote", world.model, "--json", login="dana-ds")
    assert opened.exit_code == 0, opened.output
    pull = world.repository.pull(json.loads(opened.stdout)["pull_request"])
    assert pull.head_ref == f"promote/production/{world.model}-v1"
    there = run("promote", world.model, "--to", "staging", login="dana-ds")
    assert "is in staging already" in str(there.exception)
    world.register(accuracy=0.97)
    newest = run("promote", world.model, "--json", login="dana-ds")
    pull = world.repository.pull(json.loads(newest.stdout)["pull_request"])
    assert pull.head_ref == f"promote/staging/{world.model}-v2"


def test_who_waits_is_told_that_the_policy_has_not_spoken_or_will_not(world: House, run: Run) -> None:
    world.register()
    asked = ("promote", f"{world.model}@1", "--to", "staging", "--wait", "--timeout", "1")
    waited = run(*asked, login="dana-ds")
    assert waited.exit_code == 3
    assert "the policy has not spoken yet; the pull request stays open" in waited.stderr
    (pull,) = world.repository.pulls()
    with ThreadPoolExecutor(1) as pool:
        seen = len(world.github.requests)
        waiting = pool.submit(run, *asked[:-1], "60", login="dana-ds")
        asks = f"/pulls/{pull.number}"
        wait_until(lambda: any(r.path.endswith(asks) for r in world.github.requests[seen:]), "it follows the checks")
        pull.close("dana-ds")
        closed = waiting.result(60)
    assert closed.exit_code == 1, closed.output
    assert f"#{pull.number} was closed before the policy had spoken" in closed.stderr


def test_a_version_without_files_is_not_proposed_and_why_is_said(world: House, run: Run) -> None:
    world.register()
    run_id = world.mlflow.get_model_version(world.model, "1").run_id
    world.mlflow.create_model_version(world.model, f"mlflow-artifacts:/0/{run_id}/artifacts/nothing", run_id)
    refused = run("promote", f"{world.model}@2", "--to", "staging", login="dana-ds")
    assert "has no files at" in str(refused.exception)
    assert world.repository.pulls() == []


def test_a_workflow_promotes_with_its_own_token(world: House, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of GitHub Actions is an installation's, which cannot ask whose it is."""
    world.register(accuracy=0.5)
    token = world.workflow_token()
    for name in ("GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY"):
        monkeypatch.delenv(name, raising=False)
    environment = {
        "MLFLOW_TRACKING_URI": world.gateways.settings.mlflow_tracking_uri,
        "GITHUB_API_URL": world.github.api_url,
        "PROMOTION_REPOSITORIES": world.repository.repo.full_name,
        "GITHUB_TOKEN": token,
    }
    subject = f"{world.model}@1"
    opened = CliRunner().invoke(cli, ["promote", subject, "--to", "production", "--json"], env=environment)
    assert opened.exit_code == 0, opened.output
    pull = world.repository.pull(json.loads(opened.stdout)["pull_request"])
    assert pull.author == "github-actions[bot]"
    world.settle()
    assert pull.check("promotion/policy") == "failure"
    waited = CliRunner().invoke(cli, ["promote", subject, "--to", "production", "--wait"], env=environment)
    assert waited.exit_code == 1, waited.output
    assert "promotion/policy: failure" in waited.stdout


def test_a_service_does_not_start_with_a_workflows_token(world: House) -> None:
    settings = replace(world.gateways.settings, github_credentials=Secret("ghs_0123"))
    with pytest.raises(Misconfigured, match=r"an installation's token .*GITHUB_APP_ID"):
        build(settings)


def test_a_model_is_downloaded_verified_or_not_at_all(world: House, run: Run, tmp_path: Path) -> None:
    world.register(files={"data/weights.bin": b"1" * 100_000})
    world.event()
    target = tmp_path / "models" / "live"
    done = run("download", world.model, "--environment", "staging", "--to", str(target), "--json")
    assert done.exit_code == 0, done.output
    entry = world.manifest().entry(world.model, "staging")
    assert entry is not None
    assert json.loads(done.stdout)["digest"] == entry.digest
    assert (target / "data" / "weights.bin").read_bytes() == b"1" * 100_000
    away = run("download", world.model, "--version", "1", "--to", str(tmp_path / "two"), github="http://127.0.0.1:9")
    assert isinstance(away.exception, Unreachable), "nothing is taken unverified only because GitHub is away"
    two = run("download", world.model, "--alias", "staging", "--to", str(tmp_path / "two"))
    assert two.stdout.endswith("\nverified: the manifest says the same\n")
    assert run("download", world.model, "--stage", "staging", "--to", str(target)).exit_code == 0
    (target / "data" / "weights.bin").write_bytes(b"2" * 100_000)
    other = run("download", world.model, "--version", "1", "--to", str(target))
    assert "is there already and holds something else" in str(other.exception)
    manifest = world.repository.file("versions.yaml") or ""
    world.repository.push({"versions.yaml": manifest.replace(entry.digest, f"sha256:{0:064x}")})
    wrong = run("download", world.model, "--environment", "staging", "--to", str(tmp_path / "three"))
    assert "somebody changed them" in str(wrong.exception)
    by_number = run("download", world.model, "--version", "1", "--to", str(tmp_path / "three"))
    assert "somebody changed them" in str(by_number.exception), "what the manifest names is compared however it is said"
    world.repository.push({"versions.yaml": "apiVersion: promotion-bot/v1\nkind: ModelVersions\nmodels: {}\n"})
    unnamed = run("download", world.model, "--version", "1", "--to", str(tmp_path / "two"))
    assert unnamed.stdout.endswith("\nnot verified: no manifest names it\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["models", "two"]


def test_lineage_tells_where_a_version_comes_from(world: House, run: Run) -> None:
    world.register()
    world.to_production(1)
    found = json.loads(run("lineage", world.model, "1", "--json").stdout)
    assert found["code"] == {"git_commit": "0f1e2d3c4b"}
    assert found["run"]["trained_by"] == "dana"
    assert found["environments"]["production"]["by"] == "bob"
    assert "trained_by: dana" in run("lineage", world.model, "1").stdout


def test_lineage_tells_the_family_and_what_became_of_the_run(world: House, run: Run) -> None:
    parent = world.mlflow.create_run("0", run_name="sweep", tags={"git_commit": "0f1e2d3c4b"}).info.run_id
    data = {"data_hash": "md5:" + "a" * 32, "data_version": "data-v1.0", "data_path": "data/all.csv"}
    other = {"data_hash": "md5:" + "b" * 32, "data_version": "data-v2.0"}
    world.register(tags={**data, "mlflow.parentRunId": parent, "model_type": "random_forest"})
    world.register(tags={**other, "mlflow.parentRunId": parent})
    world.register(tags=data)
    world.register(tags=other)
    world.event()

    found = json.loads(run("lineage", world.model, "1", "--json").stdout)
    assert found["data"] == data
    assert found["parents"]["run"] == {"run_id": parent, "name": "sweep", "versions": []}
    assert found["siblings"] == {"same_parent_run": [2], "same_data": [3]}
    assert found["version"]["model_type"] == "random_forest"
    assert list(found)[2:8] == ["data", "code", "run", "version", "pull_requests", "environments"]

    newest = json.loads(run("lineage", world.model, "4", "--json").stdout)
    assert newest["pull_requests"] == [world.proposed(name, 4).number for name in ("staging", "production")]
    assert newest["siblings"] == {"same_parent_run": [], "same_data": [2]}

    world.mlflow.delete_run(world.mlflow.get_model_version(world.model, "1").run_id)
    shown = run("lineage", world.model, "1").stdout
    assert "status: FINISHED, deleted" in shown
    assert "same parent run: 2" in shown
    assert "data_hash: md5:aaaa" in shown

    third = world.mlflow.get_model_version(world.model, "3")
    for _ in range(21):
        world.mlflow.create_model_version(world.model, third.source, third.run_id)
    many = run("lineage", world.model, "1").stdout
    assert f"same data: {', '.join(map(str, range(6, 26)))}, and 2 older ones" in many
    found = json.loads(run("lineage", world.model, "1", "--json").stdout)
    assert found["siblings"]["same_data"] == [3, *range(5, 26)]


def test_lineage_has_a_line_for_each_value_and_the_beginning_of_a_very_long_one(world: House, run: Run) -> None:
    path = "/".join(["data"] * 40)
    version = world.register(tags={"data_path": path})
    world.mlflow.log_param(world.mlflow.get_model_version(world.model, str(version)).run_id, "prompt", "x" * 6000)
    shown = run("lineage", world.model, "1").stdout.splitlines()
    assert f"│   ├── data_path: {path}" in [line.replace("└", "├") for line in shown]
    (prompt,) = [line for line in shown if "prompt: " in line]
    assert prompt.endswith("x…")
    assert len(prompt) < 400
    assert json.loads(run("lineage", world.model, "1", "--json").stdout)["run"]["params"] == {"prompt": "x" * 6000}


def test_nothing_that_somebody_wrote_in_mlflow_moves_the_terminal(world: House, run: Run) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e\r\n::error::x [red]"
    tags = {"data_version": evil, "git_commit": evil, "git_branch": evil, "trained_by": evil}
    world.register(tags=tags)
    world.register(accuracy=0.97, tags=tags)
    world.event()
    model = world.model
    for arguments in (
        ("lineage", model, "2"),
        ("compare", model, "1", "2"),
        ("compare", model, "1", "2", "--markdown"),
        ("validate", model, "2", "--environment", "staging"),
        ("policy", "explain", model, "2"),
        ("status", model),
        ("history", model),
    ):
        for form in ((), ("--json",)):
            if form and "--markdown" in arguments:
                continue
            done = run(*arguments, *form)
            obeyed = {
                character for line in done.stdout.split("\n") for character in line if not character.isprintable()
            }
            assert obeyed == set(), (arguments, form)
            assert not [line for line in done.stdout.splitlines() if line.lstrip().startswith("::")]
    shown = run("lineage", model, "2").stdout
    assert "\\x1b[2J" in shown
    assert "[red]" in shown, "no markup either"
    assert json.loads(run("lineage", model, "2", "--json").stdout)["data"]["data_version"] == evil


def test_a_name_in_an_error_begins_no_line(world: House, run: Run) -> None:
    """Names of models may hold line breaks."""
    name = f"{world.model}\nverified"
    world.mlflow.create_registered_model(name)
    for arguments in ((f"{world.model}x", "1"), (name, "1")):
        assert len(str(run("lineage", *arguments).exception).splitlines()) == 1
    world.mlflow.delete_registered_model(name)


def test_lineage_of_what_is_not_there_is_refused(world: House, run: Run) -> None:
    world.register()
    assert "has no version 7" in str(run("lineage", world.model, "7").exception)
    assert "has no model" in str(run("lineage", "nothing", "1").exception)


def test_a_repository_that_is_named_is_the_one_that_is_looked_at(registry_url: str, cache_url: Secret) -> None:
    with house(registry_url, cache_url, others={"acme/risk": "risk-*"}) as built:
        first = built.repository.repo.full_name
        assert view_of(built.gateways).name == first
        assert view_of(built.gateways, model="risk-a").name == "acme/risk"
        assert view_of(built.gateways, "acme/risk").name == "acme/risk"
        with pytest.raises(Refused, match="names “risk-a”"):
            view_of(built.gateways, first, "risk-a")


def test_a_repository_that_cannot_be_read_matters_where_it_may_be_the_one(registry_url: str, cache_url: Secret) -> None:
    with house(registry_url, cache_url, others={"acme/risk": "risk-*"}) as built:
        built.register()
        built.event()
        built.register(accuracy=0.5)
        model = registered(built.gateways, built.model)
        (risk,) = built.others
        risk.push({"versions.yaml": "models: ["})
        found = entry_of(built.gateways, None, version_of(model, 1))
        assert found == built.manifest().entry(built.model, "staging")
        assert view_of(built.gateways, model=built.model).name == built.repository.repo.full_name
        with pytest.raises(Refused, match=r"versions\.yaml"):
            entry_of(built.gateways, None, version_of(model, 2))
        with pytest.raises(Refused, match=r"versions\.yaml"):
            view_of(built.gateways, model="risk-a")
        built.repository.push({"versions.yaml": "models: ["})
        with pytest.raises(Refused, match=r"versions\.yaml"):
            view_of(built.gateways)


def test_the_doctor_says_what_to_mend(world: House, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_WEBHOOK_SECRET", "m")
    monkeypatch.setenv("GITHUB_WEBHOOK_SECRET", "g")
    well = run("doctor", "--json")
    assert well.exit_code == 0, well.output
    states = {each["what"]: each["state"] for each in json.loads(well.stdout)}
    assert states["MLflow registry"] == states["GitHub sign-in"] == "good"
    assert states["acme/models: pipeline, policies, manifest"] == "good"
    assert states["MLflow webhook"] == "unknown"

    broken = (world.repository.file("policies/staging.yaml") or "").replace("at_least", "at_leest")
    pipeline = (world.repository.file("promotion.yaml") or "").replace("[carol]", '["@acme/nobody"]')
    world.repository.push({"promotion.yaml": pipeline})
    ill = run("doctor")
    assert ill.exit_code == 1
    assert "✗ acme/models: production: the members of @acme/nobody cannot be read" in ill.stdout
    world.repository.push({"policies/staging.yaml": broken})
    worse = run("doctor")
    assert worse.exit_code == 1
    assert "did you mean “at_least”" in worse.stdout
    monkeypatch.setenv("PROMOTION_PUBLIC_URL", "https://bot.example.com")
    assert "MLflow webhook: there is none\n    → promotion-bot webhooks sync" in run("doctor").stdout


@pytest.mark.parametrize(
    ("arguments", "login", "error"),
    [
        (("promote", "nobody"), "dana-ds", "no pipeline"),
        (("promote", "MODEL@9"), "dana-ds", "has no version 9"),
        (("promote", "MODEL", "--to", "stagin"), "dana-ds", "did you mean “staging”"),
        (("promote", "MODEL"), "", "GITHUB_TOKEN"),
        (("rollback", "MODEL", "--in", "production"), "dana-ds", "nothing to go back from"),
        (("status", "MODEL", "--repository", "a/b"), "", "is not among PROMOTION_REPOSITORIES"),
        (("compare", "MODEL", "1", "9"), "", "has no version 9"),
        (("download", "MODEL", "--alias", "nobody", "--to", "/nowhere"), "", "has no alias “nobody”; it has none"),
        (
            ("download", "MODEL", "--stage", "Production", "--to", "/nowhere"),
            "",
            "its versions are in: None",
        ),
        (("download", "MODEL", "--environment", "staging", "--to", "/nowhere"), "", "has no version of"),
        (("history", "MODEL", "--environment", "moon"), "", "no environment “moon”"),
    ],
)
def test_what_cannot_be_done_is_said(
    world: House, run: Run, arguments: tuple[str, ...], login: str, error: str
) -> None:
    world.register()
    result = run(*(argument.replace("MODEL", world.model) for argument in arguments), login=login)
    assert isinstance(result.exception, PromotionError)
    assert error in str(result.exception)
    assert isinstance(result.exception, Misconfigured) == (error == "GITHUB_TOKEN")
