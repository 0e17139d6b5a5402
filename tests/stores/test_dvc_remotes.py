"""Remotes of DVC's in each cloud's store: what is there, what is gone, and what stands in between."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from bot.domain.errors import Misconfigured, Refused, Unreachable
from bot.gateways.artifacts import google
from bot.gateways.artifacts.opening import open_place
from bot.gateways.dvc.access import Access
from bot.gateways.dvc.directories import stored_directory
from bot.gateways.dvc.documents import Output, RemoteConfig
from bot.gateways.dvc.remotes import Remote, open_remote
from policies.evidence import StoredDirectory
from tests.e2e.proxy import Fault, proxied
from tests.stores.conftest import Place
from tests.stores.emulators import AZURE_ACCOUNT, AZURE_KEY, EMULATORS, azure_connection, azure_service, s3_client

THERE, GONE = "files/md5/ab/cd", "files/md5/ab/ce"
NOBODY = "http://127.0.0.1:9"
SCHEMES = {"s3": "s3", "gcs": "gs", "azure": "azure"}


def bucket_of(place: Place) -> str:
    return urlsplit(place.uri).netloc.partition("@")[0]


def remote(place: Place, bucket: str = "", **options: str) -> Remote:
    """The place as a repository's `.dvc/config` would name it, with the environment's own endpoint."""
    if place.kind == "s3":
        options = {"endpointurl": place.environment["MLFLOW_S3_ENDPOINT_URL"]} | options
    url = f"{SCHEMES[place.kind]}://{bucket or bucket_of(place)}/team a/dvc/"
    hosts = tuple(urlsplit(options[name]).netloc for name in ("endpointurl",) if name in options)
    return open_remote(RemoteConfig("storage", url, options), Access(hosts=hosts))


def remove(place: Place, key: str) -> None:
    """Have the store's own client delete an object."""
    match place.kind:
        case "s3":
            s3_client(place.environment).delete_object(Bucket=bucket_of(place), Key=key)
        case "gcs":
            from google.cloud.storage import Client

            Client(project="testing").bucket(bucket_of(place)).blob(key).delete()
        case "azure":
            assert place.emulator is not None
            azure_service(place.emulator.url).get_container_client(bucket_of(place)).delete_blob(key)


@pytest.fixture(params=EMULATORS)
def cloud(request: pytest.FixtureRequest, place_of: Callable[[str], Place], tmp_path: Path) -> Place:
    """A bucket or container with one object of DVC's."""
    place = place_of(request.param)
    (tmp_path / "data").write_bytes(b"data")
    open_place(place.uri).put(f"dvc/{THERE}", tmp_path / "data")
    return place


def test_a_remote_has_what_is_in_it_until_it_is_deleted(cloud: Place) -> None:
    found = remote(cloud)
    assert (found.has(THERE), found.has(GONE), found.has("files/md5/ab")) == (True, False, False)
    remove(cloud, f"team a/dvc/{THERE}")
    assert not found.has(THERE)


def test_an_object_is_read_whole_and_no_larger_than_wanted(cloud: Place) -> None:
    found = remote(cloud)
    assert (found.read(THERE, 4), found.read(GONE, 4)) == (b"data", None)
    with pytest.raises(Refused, match="more than the 3"):
        found.read(THERE, 3)


def test_a_directory_lacks_the_file_that_is_deleted(cloud: Place, tmp_path: Path) -> None:
    rows = [{"md5": number * 32, "relpath": f"images/{number}.png"} for number in "123"]
    listing = json.dumps(rows).encode()
    (tmp_path / "listing").write_bytes(listing)
    output = Output("data", f"{hashlib.md5(listing, usedforsecurity=False).hexdigest()}.dir", "files/md5/")
    store = open_place(f"{cloud.uri}/dvc")
    assert stored_directory(remote(cloud), output) is False
    store.put(output.place, tmp_path / "listing")
    for row in rows:
        store.put(output.place_of(row["md5"]), tmp_path / "data")
    assert stored_directory(remote(cloud), output) == StoredDirectory(3, 3)
    remove(cloud, f"team a/dvc/{output.place_of('2' * 32)}")
    assert stored_directory(remote(cloud), output) == StoredDirectory(3, 3, "images/2.png")


def test_a_bucket_that_is_gone_is_no_deleted_object(cloud: Place) -> None:
    with pytest.raises(Misconfigured, match="there is no bucket or container nowhere-at-all for the DVC remote"):
        remote(cloud, "nowhere-at-all").has(THERE)


def test_a_remote_that_is_away_is_unreachable(cloud: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google, "_TRIED_FOR", 2)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", NOBODY)
    connection = azure_connection(f"{NOBODY}/{AZURE_ACCOUNT}", f"AccountKey={AZURE_KEY}")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    options = {"endpointurl": NOBODY} if cloud.kind == "s3" else {}
    with pytest.raises(Unreachable, match=f"the DVC remote {SCHEMES[cloud.kind]}://"):
        remote(cloud, **options).has(THERE)


# --- a bucket without permission --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "object_says", "bucket_says"),
    [
        ("s3", r"s3:GetObject and s3:ListBucket .* on", r"s3:ListBucket on"),
        ("gcs", r"storage\.objects\.get on .*Object Viewer", r"storage\.objects\.list on .*Object Viewer"),
    ],
)
def test_what_a_store_does_not_allow_is_named(
    place_of: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch, kind: str, object_says: str, bucket_says: str
) -> None:
    """These emulators forbid nothing: they are asked through what does, first everything and then lists alone."""
    place = place_of(kind)
    assert place.emulator is not None
    with proxied(kind, place.emulator.url) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        options = {"endpointurl": proxy.url} if kind == "s3" else {}
        proxy.fault = lambda _said: Fault(status=403, message="no")
        with pytest.raises(Misconfigured, match=f"the DVC remote {SCHEMES[kind]}://.* needs {object_says}"):
            remote(place, **options).has(THERE)
        proxy.fault = lambda said: Fault(status=403, message="no") if "prefix=" in said else None
        with pytest.raises(Misconfigured, match=f"the DVC remote {SCHEMES[kind]}://.* needs {bucket_says}"):
            remote(place, **options).has(GONE)


@pytest.mark.parametrize("may", [{"list": True}, {"write": True}])
def test_what_azure_does_not_allow_is_named(
    place_of: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch, may: dict[str, bool]
) -> None:
    place = place_of("azure")
    assert place.emulator is not None
    until = datetime.now(UTC) + timedelta(hours=1)
    signature = generate_container_sas(
        AZURE_ACCOUNT, bucket_of(place), account_key=AZURE_KEY, permission=ContainerSasPermissions(**may), expiry=until
    )
    connection = azure_connection(place.emulator.url, f"SharedAccessSignature={signature}")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    with pytest.raises(Misconfigured, match=r"the DVC remote azure://.* Storage Blob Data Reader") as refused:
        remote(place).has(THERE)
    assert "sig=" not in str(refused.value)


# --- what the repository or the environment says wrong ----------------------------------------------------------------


def test_credentials_that_are_missing_are_named(
    place_of: Callable[[str], Place], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_of("s3")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(Misconfigured, match=r"the DVC remote s3://.* Set AWS_ACCESS_KEY_ID"):
        remote(place).has(THERE)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    assert not remote(place).has(THERE), "what was missing once is looked for again"


def test_an_account_of_azures_is_that_of_the_connection_string(place_of: Callable[[str], Place]) -> None:
    place = place_of("azure")
    assert not remote(place, account_name=AZURE_ACCOUNT).has(THERE)


def test_a_bucket_that_cannot_be_is_refused(place_of: Callable[[str], Place]) -> None:
    with pytest.raises(Refused, match="the DVC remote s3://a b/"):
        remote(place_of("s3"), "a b").has(THERE)


def test_a_request_that_s3_does_not_take_is_a_fault_of_the_configuration(place_of: Callable[[str], Place]) -> None:
    """As its bare 400 to a HEAD is, for a wrong region or a token that is over."""
    place = place_of("s3")
    assert place.emulator is not None
    with proxied("s3", place.emulator.url) as proxy:
        proxy.fault = lambda _said: Fault(status=400)
        with pytest.raises(Misconfigured, match="Check the region"):
            remote(place, endpointurl=proxy.url).has(THERE)
