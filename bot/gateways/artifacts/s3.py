"""Amazon S3 and what speaks like it (MinIO, Ceph, R2), with credentials as every AWS tool finds them.

Variables: AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), AWS_PROFILE, a role of the machine or
pod; MLflow's own MLFLOW_S3_ENDPOINT_URL, MLFLOW_S3_IGNORE_TLS, MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE and
MLFLOW_S3_EXPECTED_BUCKET_OWNER are respected (https://mlflow.org/docs/latest/self-hosting/architecture/artifact-store/).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from bot.domain.errors import PromotionError
from bot.gateways.artifacts.objects import CONNECTIONS, Object, ObjectStore, Right, expect_parts
from bot.gateways.artifacts.refusals import Remedy, translated

_CONNECT_SECONDS: Final = 10
_READ_SECONDS: Final = 60
_TRIES: Final = 3  # the bot's own queue tries again later
_PERMISSIONS: Final[Mapping[Right, str]] = {
    Right.LIST: "s3:ListBucket",
    Right.FIND: "s3:GetObject and s3:ListBucket (without which S3 does not say whether an object is there)",
    Right.READ: "s3:GetObject",
    Right.WRITE: "s3:PutObject",
}
_LIBRARY: Final = "Install it: pip install 'promotion-bot[s3]'."
_REQUEST: Final = "Check the region (AWS_REGION, or the remote's own), the endpoint and the credentials."
_SETTINGS: Final = (
    "Check the endpoint (MLFLOW_S3_ENDPOINT_URL, or the remote's own, which is a URL such as https://minio.example), "
    "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE, AWS_CONFIG_FILE, and that no variable ends in a line break."
)
_VARIABLES: Final = ("AWS_",)


@dataclass(frozen=True, slots=True)
class S3Service:
    """Who is asked, and how. The endpoint and region are boto3's own where none is said; `verify` is as boto3 has it.

    `owner` is the account that a bucket has to be of, empty for any.
    """

    endpoint: str | None = None
    region: str | None = None
    signature: str = "s3v4"
    addressing: str = "auto"
    verify: Literal[False] | None = None
    owner: str = ""


def open_s3(uri: str) -> ObjectStore:
    """The objects below `s3://BUCKET/PREFIX`, where and how MLflow's variables say."""
    parts = urlsplit(uri)
    bucket = expect_parts("s3", parts.netloc, "s3://models/backup")
    return open_bucket(bucket, parts.path, _mlflows_service(), f"The artifact store at s3://{bucket}")


def open_bucket(bucket: str, prefix: str, service: S3Service, called: str) -> ObjectStore:
    """The objects of a bucket below a prefix; `called` is how messages name it."""
    try:
        client = _client(service, _environment())
    except Exception as error:
        raise _translated(error, called, Right.READ, "open it", bucket) from None
    return ObjectStore(_S3Bucket(client, bucket, service.owner, called), prefix)


class _S3Bucket:
    def __init__(self, client: Any, name: str, owner: str, called: str) -> None:  # noqa: ANN401 -- made when boto3 runs
        self._client = client
        self._name = name
        self._called = called
        self._owner = {"ExpectedBucketOwner": owner} if owner else {}

    def list(self, prefix: str) -> Iterator[Object]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix, **self._owner)
        for page in pages:
            for found in page.get("Contents", ()):
                yield Object(found["Key"], int(found["Size"]), found.get("ETag", ""))

    def head(self, key: str) -> Object | None:
        found = self._client.head_object(Bucket=self._name, Key=key, **self._owner)
        return Object(key, int(found["ContentLength"]), found.get("ETag", ""))

    def read(self, found: Object, start: int, stop: int) -> bytes:
        whole = start == 0 and stop == found.size
        wanted = {} if whole else {"Range": f"bytes={start}-{stop - 1}"}
        if found.mark:
            wanted["IfMatch"] = found.mark
        answer = self._client.get_object(Bucket=self._name, Key=found.key, **wanted, **self._owner)
        with answer["Body"] as body:
            content: bytes = body.read()
        return content

    def write(self, key: str, file: Path) -> None:
        self._client.upload_file(str(file), self._name, key, ExtraArgs=self._owner or None)

    def translated(self, error: Exception, right: Right, task: str) -> PromotionError:
        # What a transfer of many parts raises carries the client's own error.
        cause = error.__context__ if type(error).__name__ == "S3UploadFailedError" else None
        said = cause if isinstance(cause, Exception) else error
        return _translated(said, self._called, right, task, self._name)


def _translated(error: Exception, called: str, right: Right, task: str, bucket: str) -> PromotionError:
    permission = f"It needs {_PERMISSIONS[right]} on {bucket}."
    return translated(error, called, task, Remedy(_LIBRARY, _credentials(), permission, _REQUEST, _SETTINGS))


def _credentials() -> str:
    """Which variables are missing, or are wrong where they are there."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    missing = [name for name in names if not os.environ.get(name)]
    if not missing:
        return f"Check {' and '.join(names)} (and AWS_SESSION_TOKEN where they are temporary)."
    return f"Set {' and '.join(missing)}, or AWS_PROFILE, or run with a role that the machine or pod gives."


def _environment() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith(_VARIABLES)))


def _mlflows_service() -> S3Service:
    """What MLflow's variables say of its own buckets."""
    said = os.environ
    # What MLflow calls it: for buckets that anybody may read (mlflow/store/artifact/s3_artifact_repo.py).
    return S3Service(
        endpoint=said.get("MLFLOW_S3_ENDPOINT_URL") or None,
        signature=said.get("MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION", "s3v4"),
        addressing=said.get("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "auto"),
        verify=False if said.get("MLFLOW_S3_IGNORE_TLS", "").lower() in {"true", "1"} else None,
        owner=said.get("MLFLOW_S3_EXPECTED_BUCKET_OWNER", ""),
    )


@lru_cache(maxsize=4)
def _client(service: S3Service, _environment: tuple[tuple[str, str], ...]) -> Any:  # noqa: ANN401
    """A client for the variables as they are; it refreshes what is temporary by itself, and threads may share it."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import NoCredentialsError

    session = boto3.session.Session()
    unsigned = service.signature.lower() == "unsigned"
    if not unsigned and session.get_credentials() is None:
        raise NoCredentialsError  # instead of a client that is remembered and never looks for them again
    config = Config(
        signature_version=UNSIGNED if unsigned else service.signature,
        s3={"addressing_style": service.addressing},
        max_pool_connections=CONNECTIONS,
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"total_max_attempts": _TRIES},
    )
    return session.client(
        "s3", config=config, endpoint_url=service.endpoint, region_name=service.region, verify=service.verify
    )
