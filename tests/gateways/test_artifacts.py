"""Artifacts against a real MLflow server, and against one that lies."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from bot.domain.errors import Misconfigured, Refused, Unreachable
from bot.domain.versions import ModelVersion, copied_version
from bot.gateways.artifacts import Artifacts, logged_model_id, opening
from bot.gateways.artifacts.through_mlflow import DownloadStore
from bot.gateways.registry import Registry
from tests.gateways.conftest import MLMODEL, stored

FILES = {
    "MLmodel": MLMODEL,
    "model.bin": b"\x00\x01" * 700_000,
    "empty": b"",
    "code/a file.py": b"print()",
    "code/deep/er/x": b"x",
    "code.txt": b"sorts between code and code/ by bytes",
    "ünïcödé 🦄.txt": b"?",
    "percent%2a.txt": b"%",
    "Zed": b"upper case sorts first",
}


def version_of(name: str = "m", number: int = 1, source: str = "") -> ModelVersion:
    return ModelVersion(name, number, datetime.now(UTC), source=source)


def sha256sum(root: Path) -> str:
    """The manifest's digest as coreutils make it: the hash of what `sha256sum` prints for the sorted paths."""
    paths = sorted((str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()), key=os.fsencode)
    lines = subprocess.run(["sha256sum", "--", *paths], cwd=root, capture_output=True, check=True).stdout
    return "sha256:" + hashlib.sha256(lines).hexdigest()


@pytest.fixture
def register(client, registry, log_model, request) -> Callable[..., ModelVersion]:
    name = f"artifacts-{request.node.name}"
    client.create_registered_model(name)

    def add(source: str | None = None, files: dict[str, bytes] | None = None, **ids: str) -> ModelVersion:
        if source is None:
            model = log_model(files)
            source, ids = f"models:/{model.model_id}", {"model_id": model.model_id}
        number = client.create_model_version(name, source, **ids).version
        return registry.model(name).version(int(number))

    return add


def test_the_digest_is_what_sha256sum_says(artifacts, mlflow, client, register):
    files = {path: content for path, content in FILES.items() if "%" not in path}
    version = register(files=files)
    root = stored(mlflow, client.get_logged_model(logged_model_id(version.source)))

    found = artifacts.digest(version)

    assert found.digest == sha256sum(root)
    assert found.size == sum(len(content) for content in files.values())
    assert found.files == tuple(sorted(files, key=str.encode))
    assert artifacts.listing(version) == tuple((path, len(files[path])) for path in found.files)
    for path, content in files.items():
        assert artifacts.fetch(version, path, 2_000_000) == content


def test_every_kind_of_source_leads_to_the_same_files(artifacts, mlflow, client, registry, log_model, register):
    run_id = client.create_run("0").info.run_id
    model = log_model(FILES | {"percent%2a.txt": b""}, run_id=run_id)
    root = stored(mlflow, model)
    (root / "percent%2a.txt").unlink()
    by_id = register(f"models:/{model.model_id}", model_id=model.model_id)
    by_run = register(f"runs:/{run_id}/model", run_id=run_id)
    by_place = register(model.artifact_location, model_id=model.model_id)
    client.copy_model_version(f"models:/{by_id.name}/1", f"{by_id.name}-copy")
    copy = registry.model(f"{by_id.name}-copy").version(1)

    assert {v.source.split(":")[0] for v in (by_id, by_run, by_place)} == {"models", "runs", "mlflow-artifacts"}
    assert copy.source == f"models:/{by_id.name}/1"
    assert {artifacts.digest(v).digest for v in (by_id, by_run, by_place, copy)} == {sha256sum(root)}


def test_files_in_the_runs_own_directory_count_too(artifacts, mlflow, client, log_model, register):
    run_id = client.create_run("0").info.run_id
    place = mlflow.artifacts / "0" / run_id / "artifacts" / "model"
    place.mkdir(parents=True)
    (place / "MLmodel").write_bytes(b"old")
    (place / "extra.py").write_bytes(b"import os")
    version = register(f"runs:/{run_id}/model", run_id=run_id)

    assert artifacts.digest(version).digest == sha256sum(place)

    log_model({"MLmodel": MLMODEL, "model.bin": b"1"}, run_id=run_id)

    assert artifacts.digest(version).files == ("MLmodel", "extra.py", "model.bin")
    assert artifacts.fetch(version, "MLmodel", 1000) == MLMODEL
    assert artifacts.fetch(version, "extra.py", 1000) == b"import os"


def test_a_file_store_is_read_in_place(tmp_path, artifacts, monkeypatch):
    for path, content in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    monkeypatch.setattr(tempfile, "mkdtemp", None)

    for uri in (tmp_path.as_uri(), str(tmp_path)):
        monkeypatch.setattr(Artifacts, "_locations", lambda *_, uri=uri: [uri])
        found = artifacts.digest(version_of())
        assert found.digest == sha256sum(tmp_path)
        assert found.files == tuple(sorted(FILES, key=str.encode))
        assert artifacts.fetch(version_of(), "code/a file.py", 100) == b"print()"


def test_other_stores_are_downloaded_a_file_at_a_time_and_nothing_stays(artifacts, register, monkeypatch, tmp_path):
    version = register(files={"MLmodel": MLMODEL, "a/b": b"1" * 3_000_000, "a/c": b"2"})
    streamed = artifacts.digest(version)
    monkeypatch.setattr(opening, "ProxiedStore", DownloadStore)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    most = 0
    download = Path.open

    def counting(self, *arguments, **options):
        nonlocal most
        most = max(most, sum(1 for p in tmp_path.rglob("*") if p.is_file()))
        return download(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", counting)

    assert artifacts.digest(version) == streamed
    assert artifacts.fetch(version, "a/c", 10) == b"2"
    assert next(artifacts.stream(version, "a/b"))
    assert most == 1
    assert list(tmp_path.iterdir()) == []


def test_what_a_client_adds_does_not_count_and_an_impostor_does(artifacts, register):
    plain = artifacts.digest(register(files={"MLmodel": MLMODEL}))
    marked = register(files={"MLmodel": MLMODEL, "registered_model_meta": b"model_name: m\nmodel_version: '3'\n"})
    disguised = register(files={"MLmodel": MLMODEL, "registered_model_meta": b"\x80\x04pickle"})

    assert artifacts.digest(marked) == plain
    assert artifacts.digest(disguised).files == ("MLmodel", "registered_model_meta")
    assert artifacts.digest(disguised).digest != plain.digest


def test_one_changed_byte_one_renamed_or_moved_file_changes_the_digest(artifacts, register):
    variants = [
        {"MLmodel": b"a", "x": b"1"},
        {"MLmodel": b"a", "x": b"2"},
        {"MLmodel": b"a", "y": b"1"},
        {"MLmodel": b"a", "d/x": b"1"},
        {"MLmodel": b"a"},
    ]
    assert len({artifacts.digest(register(files=files)).digest for files in variants}) == len(variants)


def test_what_is_gone_or_empty_is_refused(artifacts, client, mlflow, register):
    version = register(files={})
    with pytest.raises(Refused, match="has no files"):
        artifacts.digest(version)

    version = register()
    with pytest.raises(Refused, match="has no file 'missing'"):
        artifacts.fetch(version, "missing", 10)
    with pytest.raises(Refused, match="has no file 'code'"):
        artifacts.fetch(version, "code", 10)
    with pytest.raises(Refused, match="more than the 3"):
        artifacts.fetch(version, "model.bin", 3)
    for path in ("../../mlflow.db", "/etc/passwd", "", "a//b", "./MLmodel", "a\nb"):
        with pytest.raises(Refused, match="path"):
            artifacts.fetch(version, path, 10)

    client.delete_model_version(version.name, str(version.version))
    with pytest.raises(Refused, match="find the files of version"):
        artifacts.digest(version)


def test_limits_are_said(registry, register):
    version = register(files={"MLmodel": b"a", "b": b"bb", "c": b"ccc"})

    assert Artifacts(registry, max_files=3, max_bytes=6).digest(version).size == 6
    for small in (Artifacts(registry, max_files=2), Artifacts(registry, max_bytes=5)):
        with pytest.raises(Refused, match="limit"):
            small.digest(version)


def test_a_store_that_is_away_is_unreachable():
    with pytest.raises(Unreachable, match="find the files"):
        Artifacts(Registry("http://127.0.0.1:9")).digest(version_of())


@pytest.mark.parametrize("name", ["new\nline", "tab\t", "back\\slash", "surrogate\udcff"])
def test_a_name_that_sha256sum_would_print_otherwise_is_refused(tmp_path, artifacts, monkeypatch, name):
    (tmp_path / "MLmodel").write_bytes(MLMODEL)
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(Artifacts, "_locations", lambda *_: [str(tmp_path)])

    with pytest.raises(Refused, match="path"):
        artifacts.digest(version_of())


@pytest.mark.parametrize("place", ["link", "pipe", "directory link"])
def test_nothing_is_followed_out_of_a_file_store(tmp_path, artifacts, monkeypatch, place):
    (tmp_path / "MLmodel").write_bytes(MLMODEL)
    match place:
        case "link":
            (tmp_path / "weights").symlink_to("/etc/passwd")
        case "pipe":
            os.mkfifo(tmp_path / "weights")
        case "directory link":
            (tmp_path / "weights").symlink_to("/etc", target_is_directory=True)
    monkeypatch.setattr(Artifacts, "_locations", lambda *_: [str(tmp_path)])

    with pytest.raises(Refused, match="link or a device"):
        artifacts.digest(version_of())


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("/etc", "no MLmodel file"),
        ("file:///etc", "no MLmodel file"),
        ("file:///home/dana/mlruns/model", "no MLmodel file"),
        ("file://elsewhere/etc", "another machine"),
        ("file:///srv/../etc", "'..'"),
        ("http://evil.example/api/2.0/mlflow-artifacts/artifacts/x", "credentials"),
        ("https://127.0.0.1/x", "credentials"),
        ("mlflow-artifacts://evil.example/x", "credentials"),
        ("mlflow-artifacts://evil.example:5000/x", "credentials"),
        ("sftp://user:pa55@evil.example/x", "credentials"),
        ("abfss://c@evil.example/x", "credentials"),
    ],
)
def test_a_source_leads_neither_to_the_bots_disk_nor_its_credentials_elsewhere(artifacts, monkeypatch, uri, said):
    monkeypatch.setattr(Artifacts, "_locations", lambda *_: [uri])

    with pytest.raises(Refused, match=said) as caught:
        artifacts.digest(version_of())
    assert "pa55" not in str(caught.value)


def test_a_host_is_trusted_where_the_operator_says_so(artifacts, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES", "sftp, http")
    monkeypatch.setattr(Artifacts, "_locations", lambda *_: ["http://127.0.0.1:9/api/2.0/mlflow-artifacts/artifacts/x"])

    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9"):
        artifacts.digest(version_of())


def test_a_store_whose_library_is_missing_names_it(artifacts, monkeypatch):
    monkeypatch.setattr(Artifacts, "_locations", lambda *_: ["s3://bucket/model"])
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.setitem(sys.modules, "botocore", None)

    with pytest.raises(Misconfigured, match="boto"):
        artifacts.digest(version_of())


@contextmanager
def lying_server(listing: Callable[[str], list[dict[str, object]]], body: bytes = b"x", status: int = 200, **headers):
    """Something at MLflow's address that lists and serves whatever it wants; its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path.endswith("registered-models/get"):
                self.answer(200, b'{"registered_model": {"name": "m"}}', {})
            elif url.path.endswith("get-download-uri"):
                self.answer(200, json.dumps({"artifact_uri": "mlflow-artifacts:/m"}).encode(), {})
            elif url.path.endswith("/mlflow-artifacts/artifacts"):
                files = listing(parse_qs(url.query).get("path", [""])[0].removeprefix("m").strip("/"))
                self.answer(200, json.dumps({"files": files}).encode(), {})
            else:
                self.answer(status, body, headers)

        def answer(self, code: int, content: bytes, extra: dict[str, str]) -> None:
            self.send_response(code)
            for name, value in ({"Content-Length": str(len(content))} | extra).items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def one_file(path: str, size: int = 1) -> Callable[[str], list[dict[str, object]]]:
    return lambda directory: [] if directory else [{"path": path, "is_dir": False, "file_size": size}]


@pytest.mark.parametrize("path", ["../x", "..", "a/../../x", "/etc/passwd", "a\\b", "", ".", "%2e%2e/x", "a/b"])
def test_a_listed_path_that_leads_elsewhere_is_refused(path):
    with lying_server(one_file(path)) as url, pytest.raises(Refused):
        Artifacts(Registry(url)).digest(version_of())


@pytest.mark.parametrize(
    ("listing", "said"),
    [
        (lambda _: [{"path": "again", "is_dir": True}], "too deep"),
        (lambda _: [{"path": f"f{n}", "is_dir": False, "file_size": 1} for n in range(20_000)], "limit"),
        (one_file("huge", 10**15), "limit"),
    ],
)
def test_a_listing_without_end_is_refused(listing, said):
    with lying_server(listing) as url, pytest.raises(Refused, match=said):
        Artifacts(Registry(url)).digest(version_of())


@pytest.mark.parametrize(
    ("answer", "raised"),
    [
        ({"body": b"longer than listed"}, Unreachable),
        ({"body": b""}, Unreachable),
        ({"body": b"x", "Content_Length": "5"}, Unreachable),
        ({"status": 403}, Misconfigured),
        ({"status": 404}, Refused),
    ],
)
def test_an_answer_that_is_not_the_file_is_no_digest(answer, raised):
    with lying_server(one_file("model.bin"), **answer) as url, pytest.raises(raised):
        Artifacts(Registry(url)).digest(version_of())


@pytest.mark.parametrize("local", [True, False])
def test_memory_does_not_grow_with_the_model(mlflow, client, log_model, tmp_path, local):
    """300 MB, of which the process that digests them must not hold a tenth more than for one byte."""
    model = log_model({"MLmodel": MLMODEL, "weights": b""})
    place = stored(mlflow, model)
    with (place / "weights").open("wb") as file:
        file.truncate(300_000_000)
    uri = str(place) if local else model.artifact_location
    code = f"""
from datetime import UTC, datetime
from bot.domain.versions import ModelVersion
from bot.gateways.artifacts import Artifacts
from bot.gateways.registry import Registry
from tests.memory import peak_memory
artifacts = Artifacts(Registry({mlflow.url!r}))
Artifacts._locations = lambda self, version: [{uri!r}]
version = ModelVersion("m", 1, datetime.now(UTC))
artifacts.listing(version), artifacts.fetch(version, "MLmodel", 9999)
before = peak_memory()
size = artifacts.digest(version).size
print(size, peak_memory() - before)
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    size, grown = map(int, ran.stdout.split())

    assert size == 300_000_000 + len(MLMODEL)
    assert grown < 30_000_000
    assert list(tmp_path.iterdir()) == []


def test_nothing_imports_mlflow_or_a_stores_client_before_it_is_needed():
    code = (
        "import sys, bot.gateways.registry, bot.gateways.artifacts, bot.gateways.mlflow_webhooks\n"
        "bot.gateways.registry.Registry('http://127.0.0.1:9')\n"
        "late = {'mlflow', 'boto3', 'google.cloud.storage', 'azure.storage.blob'}\n"
        "assert not late & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("source", "model_id", "copied"),
    [
        ("models:/m-0a1b", "m-0a1b", None),
        ("models:/churn/3", None, ("churn", 3)),
        ("models:/m-0a1b/3", None, ("m-0a1b", 3)),
        ("runs:/0a1b/model", None, None),
        ("", None, None),
    ],
)
def test_sources_are_told_apart(source, model_id, copied):
    assert logged_model_id(source) == model_id
    assert copied_version(source) == copied
