"""What stands between the bot and a store is named: a variable, a library, a permission, or that nobody answers."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta

import pytest

from bot.domain.errors import Misconfigured, Refused, Unreachable
from bot.gateways.artifacts import azure, google, s3
from bot.gateways.artifacts.opening import open_place
from tests.e2e.proxy import Fault, proxied
from tests.stores.emulators import AZURE_ACCOUNT, AZURE_KEY, azure_connection, azure_service, s3_client

AZURE = "wasbs://models@account.blob.core.windows.net/x"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"weights")
    return path


def read_all(uri):
    store = open_place(uri)
    return {entry.path: b"".join(store.chunks(entry)) for entry in store.walk()}


# --- S3 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(place_of, file):
    """An S3 place with one file, and a way to deny an action on its objects."""
    place = place_of("s3")
    open_place(place.uri).put("model.bin", file)
    name = place.uri.split("/")[2]

    def deny(action: str) -> str:
        statement = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": f"arn:aws:s3:::{name}/*"}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        s3_client(place.environment).put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
        return name

    return place, deny


def test_a_permission_that_s3_does_not_give_is_named(bucket, file):
    place, deny = bucket
    assert read_all(place.uri) == {"model.bin": b"weights"}
    name = deny("s3:GetObject")
    with pytest.raises(Misconfigured, match=f"needs s3:GetObject on {name}"):
        read_all(place.uri)
    deny("s3:PutObject")
    with pytest.raises(Misconfigured, match=f"needs s3:PutObject on {name}"):
        open_place(place.uri).put("other", file)


def test_a_bucket_that_s3_does_not_let_one_list_is_named(bucket, monkeypatch):
    place, _ = bucket
    with proxied("s3", place.emulator.url) as proxy:  # the emulator has no such rule
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", proxy.url)
        proxy.fault = lambda _said: Fault(status=403)

        with pytest.raises(Misconfigured, match="needs s3:ListBucket on models-"):
            read_all(place.uri)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"),
        ({"AWS_ACCESS_KEY_ID": "testing"}, "Set AWS_SECRET_ACCESS_KEY"),
        ({"AWS_PROFILE": "nobody"}, "nobody"),
    ],
)
def test_a_variable_that_s3_needs_is_named(bucket, monkeypatch, variables, said):
    place, _ = bucket
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(Misconfigured, match=said):
        read_all(place.uri)


def test_what_changed_while_it_was_read_is_no_answer(bucket, tmp_path):
    place, _ = bucket
    store = open_place(place.uri)
    entry = store.find("model.bin")
    other = tmp_path / "other"
    other.write_bytes(b"changed")
    store.put("model.bin", other)

    with pytest.raises(Unreachable, match="changed while it was read"):
        b"".join(store.chunks(entry))


# --- Google -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "Set GOOGLE_APPLICATION_CREDENTIALS"), (403, r"needs storage\.objects\.list on .*Storage Object Viewer")],
)
def test_what_google_wants_is_named(place_of, monkeypatch, status, said):
    place = place_of("gcs")
    with proxied("gcs", place.emulator.url) as proxy:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxy.url)
        proxy.fault = lambda _said: Fault(status=status, message="no")

        with pytest.raises(Misconfigured, match=said):
            read_all(place.uri)


def test_a_credentials_file_that_is_not_there_is_named(without_credentials, monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))

    with pytest.raises(Misconfigured, match=r"key\.json.* Check the file that GOOGLE_APPLICATION_CREDENTIALS names"):
        read_all("gs://models/x")


# --- Azure ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("may", "said"),
    [
        ({"list": True}, "needs the role Storage Blob Data Reader .*permission to read"),
        ({"read": True}, "needs the role Storage Blob Data Reader .*permission to list"),
    ],
)
def test_a_permission_that_azure_does_not_give_is_named(place_of, file, monkeypatch, may, said):
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    place = place_of("azure")
    open_place(place.uri).put("model.bin", file)
    container = place.uri.split("/")[2].partition("@")[0]
    until = datetime.now(UTC) + timedelta(hours=1)
    signature = generate_container_sas(
        AZURE_ACCOUNT, container, account_key=AZURE_KEY, permission=ContainerSasPermissions(**may), expiry=until
    )
    connection = azure_connection(place.emulator.url, f"SharedAccessSignature={signature}")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)

    with pytest.raises(Misconfigured, match=said) as caught:
        read_all(place.uri)
    assert "sig=" not in str(caught.value)


def test_a_key_that_azure_does_not_know_is_named(place_of, monkeypatch):
    place = place_of("azure")
    wrong = azure_connection(place.emulator.url, f"AccountKey={AZURE_KEY[:-6]}AAAA==")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", wrong)

    with pytest.raises(Misconfigured, match=r"Check AZURE_STORAGE_CONNECTION_STRING\.") as caught:
        read_all(place.uri)
    assert AZURE_KEY[:20] not in str(caught.value)


def test_azure_without_any_credentials_says_once_what_to_set(without_credentials, monkeypatch, caplog):
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import DefaultAzureCredential

    asked = []

    def nobody(self, *scopes):
        asked.append(scopes)
        raise ClientAuthenticationError("No token.\nAttempted credentials:\n\tAzureCliCredential: not found on path")

    monkeypatch.setattr(DefaultAzureCredential, "get_token", nobody)
    with pytest.raises(Misconfigured) as caught:
        read_all("wasbs://models@account.blob.core.windows.net/x")
    assert "open it: No token. Set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCESS_KEY" in str(caught.value)
    assert (len(asked), caplog.records) == (1, [])


def test_an_azure_address_that_is_none_is_refused():
    with pytest.raises(Refused, match="wasbs://CONTAINER@ACCOUNT"):
        open_place("wasbs://models/x")


# --- settings that no client makes anything of ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "variables", "said"),
    [
        ("s3://models/x", {"MLFLOW_S3_ENDPOINT_URL": "minio:9000"}, "Check the endpoint .MLFLOW_S3_ENDPOINT_URL"),
        ("s3://models/x", {"MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE": "x"}, "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE"),
        ("s3://models/x", {"AWS_CONFIG_FILE": "{file}"}, "Unable to parse config file"),
        ("gs://models/x", {"STORAGE_EMULATOR_HOST": "minio"}, "Check STORAGE_EMULATOR_HOST, which is a URL"),
        ("gs://models/x", {"GOOGLE_APPLICATION_CREDENTIALS": "{file}"}, "not a valid json.* Check the file"),
        ("gs://models/x", {"GOOGLE_APPLICATION_CREDENTIALS": "{folder}"}, "Is a directory.* Check the file"),
        (AZURE, {"AZURE_STORAGE_CONNECTION_STRING": "models"}, "malformed. Check AZURE_STORAGE_CONNECTION_STRING"),
        (AZURE, {"AZURE_STORAGE_ACCESS_KEY": "not base 64!"}, "Check AZURE_STORAGE_ACCESS_KEY"),
    ],
)
def test_a_variable_of_which_nothing_can_be_made_is_named(without_credentials, monkeypatch, file, uri, variables, said):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(file=file, folder=file.parent))

    with pytest.raises(Misconfigured, match=said):
        read_all(uri)


def test_a_token_that_ends_in_a_line_break_is_said_and_not_shown(without_credentials, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "hidden\n")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")

    with pytest.raises(Misconfigured, match="does a credential end in a line break") as caught:
        read_all("s3://models/x")
    assert "hidden" not in str(caught.value)


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "library", "uri", "extra"),
    [
        (s3, "boto3", "s3://models/x", "s3"),
        (google, "google.cloud.storage", "gs://models/x", "gcs"),
        (azure, "azure.storage.blob", "wasbs://models@account.blob.core.windows.net/x", "azure"),
    ],
)
def test_a_library_that_is_missing_is_named(without_credentials, monkeypatch, module, library, uri, extra):
    module._client.cache_clear()
    monkeypatch.setitem(sys.modules, library, None)
    if "." in library:
        parent, _, name = library.rpartition(".")
        monkeypatch.delattr(sys.modules[parent], name, raising=False) if parent in sys.modules else None

    with pytest.raises(Misconfigured, match=rf"pip install 'promotion-bot\[{extra}\]'"):
        read_all(uri)


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
def test_nobody_there_is_unreachable(place_of, monkeypatch, kind):
    place = place_of(kind)
    nobody = "http://127.0.0.1:9"
    monkeypatch.setattr(google, "_TRIED_FOR", 2)
    match kind:
        case "s3":
            monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", nobody)
        case "gcs":
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", nobody)
        case "azure":
            connection = azure_connection(f"{nobody}/{AZURE_ACCOUNT}", f"AccountKey={AZURE_KEY}")
            monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    with pytest.raises(Unreachable):
        read_all(place.uri)


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
def test_a_bucket_that_is_not_there_is_said(place_of, kind):
    place = place_of(kind)
    elsewhere = place.uri.replace("models-", "nobody-")

    with pytest.raises(Refused, match="It is not there"):
        read_all(elsewhere)


@pytest.mark.parametrize("uri", ["s3:///x", "gs:///x", "ftp://host/x", "http://[/x", "mlflow-artifacts:/x"])
def test_an_address_that_names_no_store_is_refused(without_credentials, uri):
    with pytest.raises(Refused):
        open_place(uri)


def test_the_emulator_is_what_the_client_of_azure_reaches(place_of, file):
    """That the account's own client sees what was put, so that the tests above do not talk to a stub of ours."""
    place = place_of("azure")
    open_place(place.uri).put("a/model.bin", file)
    container = place.uri.split("/")[2].partition("@")[0]

    found = (
        azure_service(place.emulator.url).get_container_client(container).download_blob("team a/a/model.bin").readall()
    )

    assert found == b"weights"
