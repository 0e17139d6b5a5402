"""Settings: everything that is wrong is said at once, and no secret is ever printed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.domain.errors import Misconfigured
from bot.settings import AppCredentials, Needs, Secret, load_settings
from tests.conftest import PEM

Environ = dict[str, str]


def problems(environ: Environ, needs: Needs = Needs.EVERYTHING) -> str:
    with pytest.raises(Misconfigured) as raised:
        load_settings(environ, needs)
    return str(raised.value)


def test_the_least_is_enough_and_the_rest_has_defaults(environ: Environ) -> None:
    del environ["PROMOTION_DATA_DIR"], environ["GITHUB_API_URL"]
    settings = load_settings(environ)
    assert settings.repositories == ("acme/models", "acme/risk")
    assert [s.reveal() for s in settings.mlflow_webhook_secrets] == ["mlflow-new", "mlflow-old"]
    assert settings.github_api_url == "https://api.github.com"
    assert settings.sweep_interval == timedelta(minutes=5)
    assert settings.redis_url is None
    assert settings.data_dir == Path("~/.local/share/promotion-bot").expanduser()


def test_everything_that_is_missing_is_named_at_once() -> None:
    message = problems({})
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_WEBHOOK_SECRET", "GITHUB_WEBHOOK_SECRET", "GITHUB_APP_ID",
                 "GITHUB_APP_PRIVATE_KEY", "GITHUB_TOKEN", "PROMOTION_REPOSITORIES"):  # fmt: skip
        assert name in message
    assert "for example: https://mlflow.example.com" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLFLOW_TRACKING_URI", "https://a b"),
        ("MLFLOW_WEBHOOK_SECRET", " , "),
        ("GITHUB_WEBHOOK_SECRET", "\udcff"),
        ("GITHUB_API_URL", "api.github.com"),
        ("GITHUB_API_URL", "https://user:hidden@host"),
        ("GITHUB_API_URL", "https://host:port"),
        ("GITHUB_APP_ID", "my-app"),
        ("GITHUB_APP_ID", "١٢"),
        ("GITHUB_APP_PRIVATE_KEY", "hidden"),
        ("GITHUB_APP_PRIVATE_KEY_FILE", "/nowhere/at-all.pem"),
        ("GITHUB_TOKEN", "hidden"),
        ("PROMOTION_REPOSITORIES", "models"),
        ("PROMOTION_REPOSITORIES", "acme/models,acme/.."),
        ("PROMOTION_REPOSITORIES", "acme/models/x"),
        ("PROMOTION_REPOSITORIES", ","),
        ("REDIS_URL", "http://:hidden@host"),
        ("REDIS_URL", "redis://:hidden@host:port"),
        ("PROMOTION_SWEEP_INTERVAL", "5"),
        ("PROMOTION_SWEEP_INTERVAL", "0s"),
        ("PROMOTION_PUBLIC_URL", "ftp://host"),
        ("PROMOTION_INTERNAL_URL", "ftp://host"),
        ("PROMOTION_PUBLIC_URL", "https://host/?x=1"),
        ("PROMOTION_QUEUE_LEASE", "soon"),
        ("PROMOTION_BOARD_TOKEN", "hidden"),
        ("PROMOTION_BOARD_TOKEN", f"{'x' * 32},hidden"),
        ("PROMOTION_BOARD_TOKEN", f"hidden-{'ü' * 32}"),
        ("PROMOTION_BOARD_USER_HEADER", "X_Forwarded_User"),
        ("PROMOTION_METRICS_PORT", "70000"),
        ("PROMOTION_DVC_ROOTS", "srv/dvc"),
        ("PROMOTION_DVC_ROOTS", "/srv/dvc,/srv/../etc"),
        ("PROMOTION_DVC_ROOTS", "/"),
        ("PROMOTION_DVC_ROOTS", ","),
        ("PROMOTION_DVC_HOSTS", "https://host"),
        ("PROMOTION_DVC_HOSTS", "host:0,"),
        ("PROMOTION_DVC_HOSTS", "*.example.com"),
        ("PROMOTION_METRICS_PORT", "http"),
        ("PROMOTION_BOT_LOGIN", "promotion bot"),
    ],
)
def test_what_is_wrong_is_named_with_an_example_and_no_secret(environ: Environ, name: str, value: str) -> None:
    if name == "GITHUB_APP_PRIVATE_KEY_FILE":
        del environ["GITHUB_APP_PRIVATE_KEY"]
    message = problems({**environ, name: value})
    (line,) = message.splitlines()[1:]
    assert name in line
    assert "hidden" not in message


def test_what_is_done_in_a_persons_name_needs_their_token_and_never_takes_the_app(environ: Environ) -> None:
    needs = Needs.OWN_TOKEN | Needs.REGISTRY
    for lacking in (environ, {k: v for k, v in environ.items() if not k.startswith("GITHUB_APP")}):
        (line,) = problems(lacking, needs).splitlines()[1:]
        assert line.strip().startswith("GITHUB_TOKEN is missing")
    assert load_settings({**environ, "GITHUB_TOKEN": "github_pat_1"}, needs).github_credentials == Secret(
        "github_pat_1"
    )


def test_where_dvc_remotes_may_be_is_a_list(environ: Environ) -> None:
    said = {"PROMOTION_DVC_ROOTS": "/srv/dvc, /mnt/data", "PROMOTION_DVC_HOSTS": "DVC.example.com,minio:9000"}
    settings = load_settings({**environ, **said})
    assert settings.dvc_roots == (Path("/srv/dvc"), Path("/mnt/data"))
    assert settings.dvc_hosts == ("dvc.example.com", "minio:9000")
    assert (load_settings(environ).dvc_roots, load_settings(environ).dvc_hosts) == ((), ())


@pytest.mark.parametrize(
    ("public", "internal", "address"),
    [
        ("", "", None),
        ("https://bot", "", "https://bot/webhooks/mlflow"),
        ("https://bot", "http://bot.tools.svc", "http://bot.tools.svc/webhooks/mlflow"),
        ("", "http://bot.tools.svc", "http://bot.tools.svc/webhooks/mlflow"),
    ],
)
def test_mlflow_may_reach_the_service_by_another_address_than_the_world(
    environ: Environ, public: str, internal: str, address: str | None
) -> None:
    settings = load_settings({**environ, "PROMOTION_PUBLIC_URL": public, "PROMOTION_INTERNAL_URL": internal})
    assert settings.mlflow_delivers_to == address


def test_several_problems_are_said_together(environ: Environ) -> None:
    wrong = {**environ, "GITHUB_API_URL": "x", "PROMOTION_SWEEP_INTERVAL": "x", "REDIS_URL": "x"}
    assert len(problems(wrong).splitlines()) == 4


def test_an_app_with_a_key_in_one_line_or_in_a_file(environ: Environ, tmp_path: Path) -> None:
    in_one_line = load_settings({**environ, "GITHUB_APP_PRIVATE_KEY": PEM.replace("\n", "\\n")})
    assert in_one_line.github_credentials == AppCredentials("12345", Secret(PEM))
    (tmp_path / "app.pem").write_text(PEM + "\n")
    del environ["GITHUB_APP_PRIVATE_KEY"]
    in_a_file = load_settings({**environ, "GITHUB_APP_PRIVATE_KEY_FILE": str(tmp_path / "app.pem")})
    assert isinstance(in_a_file.github_credentials, AppCredentials)


def test_a_token_instead_of_an_app(environ: Environ) -> None:
    del environ["GITHUB_APP_ID"], environ["GITHUB_APP_PRIVATE_KEY"]
    assert load_settings({**environ, "GITHUB_TOKEN": "ghp_x"}).github_credentials == Secret("ghp_x")
    assert "GITHUB_TOKEN" in problems({**environ, "GITHUB_TOKEN": "two words"})


def test_what_a_command_does_not_need_may_be_missing_but_not_wrong(environ: Environ) -> None:
    least = {key: environ[key] for key in ("MLFLOW_WEBHOOK_SECRET", "GITHUB_WEBHOOK_SECRET", "PROMOTION_REPOSITORIES")}
    load_settings(least, Needs.WEBHOOKS)
    load_settings({**least, "GITHUB_APP_ID": "12345"}, Needs.WEBHOOKS)
    assert "GITHUB_APP_ID" in problems({**least, "GITHUB_APP_ID": "x"}, Needs.WEBHOOKS)
    assert "MLFLOW_TRACKING_URI" in problems(least, Needs.REGISTRY)


def test_the_same_environment_gives_equal_settings_whatever_is_needed(environ: Environ) -> None:
    assert load_settings(environ) == load_settings(environ, Needs.WEBHOOKS)
    assert hash(load_settings(environ)) == hash(load_settings(environ, Needs.GITHUB))


@pytest.mark.parametrize(
    "url", ["redis://h", "rediss://:p@h:6380/1", "unix:///run/v.sock", "redis+sentinel://a:1,b:2/m"]
)
def test_every_kind_of_redis(environ: Environ, url: str) -> None:
    assert load_settings({**environ, "REDIS_URL": url}).redis_url == Secret(url)


def test_nothing_secret_is_printed(environ: Environ) -> None:
    environ |= {"REDIS_URL": "redis://:very-secret@h", "MLFLOW_TRACKING_URI": "https://me:very-secret@mlflow"}
    environ |= {"MLFLOW_WEBHOOK_SECRET": "very-secret", "GITHUB_WEBHOOK_SECRET": "very-secret"}
    environ |= {"PROMOTION_BOARD_TOKEN": "very-secret-and-long-enough"}
    settings = load_settings(environ)
    for shown in (repr(settings), str(settings), f"{replace(settings)}"):
        assert "very-secret" not in shown
        assert "PRIVATE" not in shown


def test_a_repository_named_twice_is_served_once(environ: Environ) -> None:
    assert load_settings({**environ, "PROMOTION_REPOSITORIES": "a/b, A/B ,c/d"}).repositories == ("A/B", "c/d")
