"""DVC's files as they come from a repository that anybody may have written to."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import Refused
from bot.gateways.dvc.documents import Output, output_in, parse_config

MD5 = "0123456789abcdef0123456789abcdef"
DIGITS = "1" * 32
LOCK = f"""\
schema: '2.0'
stages:
  train:
    cmd: python train.py
    deps:
    - {{path: data/all.csv, hash: md5, md5: {DIGITS}, size: 8}}
    outs:
    - {{path: models/m.pkl, hash: md5, md5: {MD5}, size: 8}}
    - {{path: plots, hash: md5, md5: {MD5}.dir, size: 8, nfiles: 2}}
  evaluate:
    cmd: python evaluate.py
"""


@pytest.mark.parametrize(
    ("text", "file", "wanted", "output"),
    [
        (f"outs:\n- {{md5: {MD5}, hash: md5, path: a.csv}}\n", "data/a.csv.dvc", None,
         Output("data/a.csv", MD5, "files/md5/")),
        (f"outs:\n- {{md5: {MD5}, path: a.csv}}\n", "a.csv.dvc", None, Output("a.csv", MD5, "")),
        (f"outs:\n- {{md5: {MD5}.dir, hash: md5, path: d}}\n", "d.dvc", None,
         Output("d", f"{MD5}.dir", "files/md5/")),
        (f"outs:\n- {{md5: {DIGITS}, hash: md5, path: a}}\n", "a.dvc", None,
         Output("a", DIGITS, "files/md5/")),
        (f"wdir: ../raw\nouts:\n- {{md5: {MD5}, hash: md5, path: a, remote: cold}}\n", "data/a.dvc", None,
         Output("raw/a", MD5, "files/md5/", "cold")),
        (f"outs:\n- {{md5: {MD5}, path: a}}\n- {{md5: {DIGITS}, path: b}}\n", "x.dvc", "b",
         Output("b", DIGITS, "")),
        (LOCK, "dvc.lock", "models/m.pkl", Output("models/m.pkl", MD5, "files/md5/")),
        (LOCK, "train/dvc.lock", "train/plots", Output("train/plots", f"{MD5}.dir", "files/md5/")),
    ],
)  # fmt: skip
def test_an_output_and_the_place_of_its_object_are_read(
    text: str, file: str, wanted: str | None, output: Output
) -> None:
    assert output_in(text.encode(), file, wanted) == output


@pytest.mark.parametrize(
    ("text", "wanted", "says"),
    [
        ("", None, "is empty"),
        ("- a\n", None, "a mapping was expected"),
        ("outs: [&a {path: x}, *a]\n", None, "anchors"),
        ("outs: {path: x}\n", None, "has 0 outputs (none)"),
        (f"outs:\n- {{md5: {MD5}, path: a}}\n- {{md5: {MD5}, path: b}}\n", None, "has 2 outputs (a, b)"),
        (f"outs:\n- {{md5: {MD5}, path: a}}\n", "b", "has no output b; it has a"),
        ("outs:\n- {etag: x, path: a}\n", None, "has no MD5 for a"),
        (f"outs:\n- {{md5: {MD5.upper()}, path: a}}\n", None, "has no MD5 for a"),
        (f"outs:\n- {{md5: ../../{MD5}, path: a}}\n", None, "has no MD5 for a"),
        (f"outs:\n- {{md5: [{MD5}], path: a}}\n", None, "has no MD5 for a"),
        (f"outs:\n- {{md5: {MD5}, path: ../../a}}\n", None, "outside of the repository"),
        (f"outs:\n- {{md5: {MD5}, path: /etc/passwd}}\n", None, "outside of the repository"),
        (f"outs:\n- {{md5: {MD5}, path: a, cache: false}}\n", None, "`cache: false`"),
        (f"outs:\n- {{md5: {MD5}, path: a, push: no}}\n", None, "`push: false`"),
        ("a: " + "[" * 100 + "]" * 100, None, "nested deeper"),
    ],
)
def test_what_cannot_be_checked_is_said(text: str, wanted: str | None, says: str) -> None:
    with pytest.raises(Refused) as refused:
        output_in(text.encode(), "x.dvc", wanted)
    assert says in str(refused.value)


@given(
    st.one_of(st.binary(max_size=300), st.text(alphabet="outs:-{}[]\n pathmd5#&*'\"01", max_size=300).map(str.encode))
)
def test_whatever_stands_there_is_read_or_refused(content: bytes) -> None:
    for read in (lambda: output_in(content, "dvc.lock", None), lambda: parse_config(content)):
        with contextlib.suppress(Refused):
            read()


CONFIG = """\
[core]
    remote = storage   # the usual one
    analytics = false
['remote "storage"']
    url = s3://acme-data/dvc
    endpointurl = https://minio.example.com:9000
    region = eu-central-1
[remote "cold"]
url = "/srv/dvc %(home)s"
['remote "versions"']
    url = gs://acme
    version_aware = true
"""


def test_remotes_are_read_with_the_sections_that_dvc_writes() -> None:
    config = parse_config(CONFIG.encode())
    storage = config.remote(None)
    assert (storage.name, storage.url) == ("storage", "s3://acme-data/dvc")
    assert storage.options == {"endpointurl": "https://minio.example.com:9000", "region": "eu-central-1"}
    assert config.remote("cold").url == "/srv/dvc %(home)s", "nothing is put in"
    with pytest.raises(Refused, match=r"has no remote “hot”; it has cold, storage, versions"):
        config.remote("hot")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("url = x\n", "cannot be read"),
        ("['remote \"a\"']\nurl = x\n['remote \"a\"']\nurl = y\n", "cannot be read"),
        ("\xff\xfe", "cannot be read"),
        ("['remote \"a\"']\nurl = /srv/dvc\n", "names no default remote"),
        ("", "names no default remote"),
        ("[core]\nremote = b\n", "has no remote “b”; it has none"),
    ],
)
def test_a_configuration_that_says_nothing_is_refused(text: str, says: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_config(text.encode("latin-1")).remote(None)
    assert says in str(refused.value)
