"""Remotes of DVC's: real directories and web servers; what is there, what is gone, who may not be asked."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from bot.domain.errors import Misconfigured, Refused, Unreachable
from bot.gateways.artifacts import azure, google, s3
from bot.gateways.dvc.access import Access
from bot.gateways.dvc.documents import RemoteConfig
from bot.gateways.dvc.remotes import Remote, open_remote

THERE, GONE = "files/md5/ab/cd", "files/md5/ab/ce"
NOBODY = "http://127.0.0.1:9"


def remote(url: str, access: Access | None = None, **options: str) -> Remote:
    return open_remote(RemoteConfig("storage", url, options), access or Access())


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [n for n in os.environ if n.startswith(("AWS_", "AZURE_", "GOOGLE_", "STORAGE_", "MLFLOW_S3"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


Serve = Callable[[Callable[[Request], Response]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answers requests in a thread; where it is served."""
    servers = []

    def start(answer: Callable[[Request], Response]) -> str:
        server = make_server("127.0.0.1", 0, Request.application(answer), threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()


# --- a directory ------------------------------------------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = tmp_path / "srv" / "dvc" / THERE
    place.parent.mkdir(parents=True)
    place.write_bytes(b"data")
    return tmp_path / "srv" / "dvc"


def test_a_directory_has_what_is_in_it(directory: Path) -> None:
    found = remote(str(directory), Access(roots=(directory.parent,)))
    assert (found.has(THERE), found.has(GONE), found.has("files/md5/ab")) == (True, False, False)
    assert remote(f"file://{directory}", Access(roots=(directory,))).has(THERE)


def test_a_directory_that_is_away_is_no_deleted_object(directory: Path) -> None:
    found = remote(str(directory), Access(roots=(directory.parent,)))
    directory.rename(directory.with_name("elsewhere"))
    with pytest.raises(Unreachable, match="is it mounted"):
        found.has(THERE)
    directory.write_text("a file")
    with pytest.raises(Misconfigured, match="no directory"):
        found.has(THERE)


@pytest.mark.parametrize(
    "url", ["/etc", "/srv/../etc", "{root}/../secret", "{root}-other", "file:///etc", "{root}/link"]
)
def test_only_directories_that_the_operator_names_are_looked_into(directory: Path, url: str) -> None:
    (directory / "link").symlink_to("/etc")
    with pytest.raises(Misconfigured, match="PROMOTION_DVC_ROOTS"):
        remote(url.format(root=directory), Access(roots=(directory,)))


def test_no_link_leads_out_of_a_directory(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (directory / GONE).symlink_to(tmp_path / "secret")
    (directory / "round").symlink_to(directory / "round")
    found = remote(str(directory), Access(roots=(directory,)))
    assert not found.has(GONE)
    with pytest.raises(Unreachable):
        found.has("round/x")


@pytest.mark.parametrize("url", ["../store", "store", "file://elsewhere/srv", "//elsewhere/srv"])
def test_a_path_of_somebodys_machine_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="only the machine of whoever trained knows"):
        remote(url, Access(roots=(Path("/srv"),)))


# --- a web server -----------------------------------------------------------------------------------------------------


def test_a_web_server_is_asked_where_the_operator_names_its_host(serve: Serve) -> None:
    url = serve(lambda request: Response(status=200 if request.path == f"/dvc/{THERE}" else 404))
    host = url.removeprefix("http://")
    found = remote(f"{url}/dvc/", Access(hosts=(host,)))
    assert (found.has(THERE), found.has(GONE)) == (True, False)
    for hosts in ((), ("127.0.0.1",), ("localhost", host + "0")):
        with pytest.raises(
            Misconfigured, match=rf"at {host}, and the bot looks only at hosts that PROMOTION_DVC_HOSTS"
        ):
            remote(f"{url}/dvc", Access(hosts=hosts))


def test_a_web_server_is_never_followed_elsewhere(serve: Serve) -> None:
    asked: list[str] = []

    def secret(request: Request) -> Response:
        asked.append(request.path)
        return Response()

    elsewhere = serve(secret)
    url = serve(lambda _: Response(status=302, headers={"Location": f"{elsewhere}/secret"}))
    with pytest.raises(Misconfigured, match="leads elsewhere"):
        remote(url, Access(hosts=(url.removeprefix("http://"),))).has(THERE)
    assert asked == []


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [(401, Misconfigured, "who may read there"), (403, Misconfigured, "NETRC"), (500, Unreachable, "answers 500")],
)
def test_a_web_server_that_says_no_is_no_deleted_object(
    serve: Serve, status: int, error: type[Exception], says: str
) -> None:
    url = serve(lambda _: Response(status=status))
    with pytest.raises(error, match=says):
        remote(url, Access(hosts=(url.removeprefix("http://"),))).has(THERE)


def test_the_netrc_file_signs_in_and_nothing_secret_is_shown(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login bot password s3cret\n")
    url = serve(lambda r: Response(status=200 if r.authorization and r.authorization.password == "s3cret" else 401))
    host = url.removeprefix("http://")
    assert remote(url, Access(hosts=(host,))).has(THERE)
    shown = remote(f"http://dana:hunter2@{host}/dvc", Access(hosts=(host,)))
    assert "hunter2" not in shown.name
    with pytest.raises(Misconfigured) as refused:
        remote("http://dana:hunter2@elsewhere/dvc")
    assert "hunter2" not in str(refused.value)


def test_a_web_server_that_is_away_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        remote(NOBODY, Access(hosts=("127.0.0.1:9",))).has(THERE)


# --- clouds: whom the bot shows its credentials (what they answer is in tests/stores) ---------------------------------


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://evil.example.com",
        "http://169.254.169.254",
        "https://s3.evil.com",
        "https://s3-evil-123.us-east-1.elb.amazonaws.com",
        "https://s3.us-east-1.amazonaws.com.evil.com",
        "http://s3.us-east-1.amazonaws.com",
        "https://s3.us-east-1.amazonaws.com:8443",
        "https://evil.com#.amazonaws.com",
        "ftp://minio.example.com",
    ],
)
def test_credentials_are_shown_only_to_the_cloud_and_to_the_environments_own(endpoint: str) -> None:
    for url in ("s3://acme/dvc", "gs://acme/dvc"):
        with pytest.raises(Misconfigured, match="the bot shows its credentials only to hosts that PROMOTION_DVC_HOSTS"):
            remote(url, Access(hosts=("minio.example.com",)), endpointurl=endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://s3.amazonaws.com",
        "https://s3.eu-central-1.amazonaws.com/",
        "https://s3-us-west-2.amazonaws.com",
        "https://s3.dualstack.us-gov-west-1.amazonaws.com",
        "https://minio.example.com",
        "http://minio.internal:9000",
    ],
)
def test_endpoints_of_amazon_and_of_the_operator_are_taken(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    access = Access(hosts=("minio.example.com", "minio.internal:9000"))
    assert remote("s3://acme/dvc", access, endpointurl=endpoint).name == f"s3://acme/dvc at {endpoint}"


@pytest.mark.parametrize("region", ["evil.com/", "a b", "x" * 41])
def test_a_region_becomes_no_part_of_another_host(region: str) -> None:
    with pytest.raises(Refused, match="no region that can be"):
        remote("s3://acme/dvc", region=region)


def test_what_mlflow_says_of_its_own_buckets_is_not_said_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an endpoint of MLflow's nor its word on TLS and owners counts for a remote that names none of them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", NOBODY)
    monkeypatch.setenv("MLFLOW_S3_IGNORE_TLS", "true")
    made: list[dict[str, Any]] = []
    original = boto3.session.Session.client

    def client(self: Any, *arguments: Any, **options: Any) -> Any:
        made.append(options)
        return original(self, *arguments, **options)

    monkeypatch.setattr(boto3.session.Session, "client", client)
    s3._client.cache_clear()
    remote("s3://acme/dvc")
    assert [(options["endpoint_url"], options["verify"]) for options in made] == [(None, None)]


def test_azure_needs_an_account_and_goes_to_azures_own_address_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Misconfigured, match="AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT"):
        remote("azure://acme/dvc").has(THERE)
    monkeypatch.setenv("AZURE_STORAGE_ACCESS_KEY", "a2V5")
    for account in ("evil.com/", "acme.evil.com#", "a@b"):
        with pytest.raises(Refused, match="no account that can be"):
            remote("azure://acme/dvc", account_name=account).has(THERE)


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["", "http://[", "s3://acme:99999/x", "s3://a\nb"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="no address that can be read"):
        remote(url)


@pytest.mark.parametrize("url", ["ssh://host/dvc", "gdrive://root", "hdfs://host/x", "remote://other/x"])
def test_a_kind_that_cannot_be_looked_into_is_said(url: str) -> None:
    with pytest.raises(Misconfigured, match="the bot can look into directories, S3"):
        remote(url)


@pytest.mark.parametrize("option", ["version_aware", "worktree"])
def test_a_remote_without_hashes_in_its_names_is_refused(option: str) -> None:
    with pytest.raises(Refused, match="by the cloud's own versions"):
        remote("s3://acme/dvc", **{option: "True"})


@pytest.mark.parametrize(("url", "extra"), [("s3://acme", "s3"), ("gs://acme", "gcs"), ("azure://acme", "azure")])
def test_a_library_that_is_missing_is_named_with_its_extra(
    url: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=a;AccountKey=a2V5")
    missing = {"s3": "boto3", "gcs": "google.cloud.storage", "azure": "azure.storage.blob"}[extra]
    for module in (azure, google, s3):
        module._client.cache_clear()
    monkeypatch.setitem(sys.modules, missing, None)
    parent, _, name = missing.rpartition(".")
    if parent in sys.modules:
        monkeypatch.delattr(sys.modules[parent], name, raising=False)
    with pytest.raises(Misconfigured, match=rf"pip install 'promotion-bot\[{extra}\]'"):
        remote(url).has(THERE)
