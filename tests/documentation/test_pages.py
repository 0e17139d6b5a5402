"""Every command that stands on a page is run from the page, in order, or marked there as one that cannot run here."""

from __future__ import annotations

import ast
import re
import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot.cli import cli
from bot.settings import Secret
from tests.documentation.company import AT_WORK, MEANWHILE, at_a_terminal, company
from tests.documentation.pages import OTHER_LANGUAGES, PAGES, ROOT, SHELL, blocks, documents, is_shown, unnamed
from tests.documentation.shell import Shell

# How many blocks of a page do not run at all: a new mark must be argued for here too.
NOT_RUN = {
    "README.md": 1,
    "charts/promotion-bot/README.md": 1,
    "docs/compose.md": 4,
    "docs/governance.md": 1,
    "docs/kubernetes.md": 7,
    "docs/mlflow.md": 1,
    "docs/operations.md": 3,
    "examples/breast-cancer/README.md": 1,
}
WITH_COMMANDS = [page for page in PAGES if any(block.runs_here for block in blocks(page))]
RUN_BY = sorted({name for page in PAGES for block in blocks(page) for name in block.run_by})


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
                if what != AT_WORK:
                    MEANWHILE[what](built)
            if block.runs_here:
                with built.at_work() if AT_WORK in block.meanwhile else nullcontext():
                    shell.run(block)


def test_what_cannot_run_here_is_counted() -> None:
    marked = {page: sum(bool(block.not_run) for block in blocks(page)) for page in PAGES}
    assert {page: count for page, count in marked.items() if count} == NOT_RUN


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_holds(page: str) -> None:
    assert unnamed(page) == [], f"name the language: {', '.join((*SHELL, *OTHER_LANGUAGES))}"


@pytest.mark.parametrize("name", RUN_BY)
def test_what_runs_a_block_elsewhere_is_there(name: str) -> None:
    path, _, test = name.partition("::")
    source = (ROOT / path).read_text()
    if test:
        assert test in {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
        return
    commands = [block.code for page in PAGES for block in blocks(page) if name in block.run_by]
    assert commands
    for line in "".join(commands).splitlines():
        assert line.partition("#")[0].strip() in source, f"{path} does not run {line}"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("```\nmake test\n```", [1]),
        ("```bash\nmake test\n```", [1]),
        ("1. first\n\n    ```\n    make test\n    ```", [3]),
        ("A text:\n\n    make test", [3]),
        ("```sh\nmake test\n```\n\n```text\nok\n```", []),
    ],
)
def test_a_block_that_does_not_say_what_it_holds_is_found(text: str, wrong: list[int], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    assert unnamed(str(page)) == wrong


@pytest.mark.parametrize(
    ("marks", "says"),
    [
        ("<!-- not run: why -->\n<!-- run by: tests/x.py::test_x -->\n\n```sh\nls\n```", "has two marks"),
        ("```sh\nls\n```\n\n<!-- not run: why -->", "nothing follows"),
    ],
)
def test_a_mark_that_means_nothing_is_found(marks: str, says: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(marks)
    with pytest.raises(AssertionError, match=says):
        blocks(str(page))


@pytest.mark.parametrize("page", [page for page in PAGES if documents(page)])
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
