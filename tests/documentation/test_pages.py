"""Every command that stands on a page is run from the page, in order, or marked there as one that cannot run here."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot.cli import cli
from bot.gateways.embedded_redis import embedded_redis
from bot.settings import Secret
from tests.documentation.company import MEANWHILE, at_a_terminal, company
from tests.documentation.pages import PAGES, ROOT, blocks, documents, is_shown
from tests.documentation.shell import Shell
from tests.services import mlflow_server

# How many blocks of a page do not run here: a new mark must be argued for here too.
NOT_RUN = {"docs/compose.md": 4, "docs/mlflow.md": 1, "docs/governance.md": 1, "docs/operations.md": 1}
# Pages of which no command runs in this file, and why.
ELSEWHERE = {
    "docs/storage.md": "tests/e2e/test_storage_guide.py runs them",
    "docs/kubernetes.md": "they need a cluster; tests/charts runs what they install",
}
WITH_COMMANDS = [page for page in PAGES if page not in ELSEWHERE and any(not block.not_run for block in blocks(page))]


@pytest.fixture
def registry_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as server:
        yield server.url


@pytest.fixture(scope="module")
def cache_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secret]:
    with embedded_redis(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_the_commands_of_a_page_do_what_it_says(
    page: str, registry_url: str, cache_url: Secret, tmp_path: Path
) -> None:
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    (work / "promotion-bot").symlink_to(ROOT)
    shutil.copy(ROOT / ".env.example", work)
    with company(registry_url, cache_url) as built, Shell(tmp_path, at_a_terminal(built, home)) as shell:
        for block in blocks(page):
            for what in block.meanwhile:
                MEANWHILE[what](built)
            if not block.not_run:
                shell.run(block)


def test_what_cannot_run_here_is_counted() -> None:
    marked = {page: sum(bool(block.not_run) for block in blocks(page)) for page in PAGES}
    assert {page: count for page, count in marked.items() if count} == NOT_RUN


@pytest.mark.parametrize("page", [page for page in [*PAGES, "README.md"] if documents(page)])
def test_documents_that_a_page_shows_are_right(page: str, tmp_path: Path) -> None:
    for number, document in enumerate(documents(page)):
        # Cases stand beside the policy that the page showed before them.
        file = tmp_path / (f"{number - 1}.test.yaml" if "kind: PolicyTest" in document else f"{number}.yaml")
        file.write_text(document)
        checked = CliRunner().invoke(cli, ["policy", "check", str(file)])
        assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (ROOT / page).read_text()):
        assert target.startswith("https://") or (ROOT / page).parent.joinpath(target).exists(), target


@pytest.mark.parametrize(
    ("shown", "printed", "is_so"),
    [
        ("v1   live\nv2 …", "a\nv1 live\nb\nv2 held since today", True),
        ("v2\nv1", "v1\nv2", False),
        ("v1", "v10", False),
        ("", "anything", True),
        ("sha256:… ok", "sha256:abc  ok", True),
        ("a.c", "abc", False),
    ],
)
def test_what_a_page_shows_is_compared_line_by_line(shown: str, printed: str, is_so: bool) -> None:
    assert is_shown(shown, printed) == is_so
