"""Every code block of every page is executed or parsed, so that no page can drift from the code.

    python                 executed; the blocks of one page share a namespace, as in one script
    python, toml           whose first line is `# some/file.py`: written there; a command of the
                           page has to use it
    console, bash          commands of the page, run with bash where they stand; in console blocks
                           the lines that start with `$ `
    toml, json             parsed
    text                   left alone

Pages run apart from each other, in an empty folder with a copy of examples/: commands are written
as typed at the root of the repository. What a page needs but need not show stands in a block inside
an HTML comment. A block of commands that cannot be run here has `<!-- not run: reason -->` on the
line above it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import repo

GENERATED = {"_build", "reference"}
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "plugins/*/README.md", "examples/*/README.md")
    for page in repo.ROOT.glob(pattern)
    if not GENERATED & set(page.parts)
)
LANGUAGES = {"python", "console", "bash", "toml", "json", "text"}

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<excuse>[^\n]+) -->\n)?"
    r"```(?P<language>[\w{][^\n]*)?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
FILE = re.compile(r"# (?P<path>[\w./-]+\.(?:py|toml))\n")

NEEDS_A_MACHINE = re.compile(r"\b(pip install|tox|git (clone|push|tag)|twine|python -m build)\b")
"""What a command has to contain to be excused: it installs, publishes, or runs all the tests."""

RUNNER = """
import json, pathlib, subprocess, sys
page, blocks = json.load(sys.stdin)
for line, action, text in blocks:
    if action == "python":
        exec(compile("\\n" * line + text, page, "exec"))
    elif action == "command":
        done = subprocess.run(["bash", "-euc", text], stdin=subprocess.DEVNULL)
        if done.returncode:
            sys.exit(f"{page}:{line}: exit {done.returncode} from:\\n{text}")
    else:
        path = pathlib.Path(action)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
"""


@dataclass(frozen=True)
class Block:
    line: int
    language: str
    text: str
    excuse: str

    @property
    def file(self) -> str:
        """The file that the block is, if it is one."""
        match = FILE.match(self.text)
        return match["path"] if match and self.language in ("python", "toml") else ""

    @property
    def commands(self) -> str:
        if self.language == "bash":
            return self.text
        if self.language == "console":
            lines = self.text.splitlines()
            return "\n".join(line[2:] for line in lines if line.startswith("$ "))
        return ""


def blocks(text: str) -> list[Block]:
    return [
        Block(
            line=text.count("\n", 0, match.start("text")),
            language=(match["language"] or "").strip(),
            text=match["text"],
            excuse=match["excuse"] or "",
        )
        for match in FENCE.finditer(text)
        if not (match["language"] or "").startswith("{")
    ]


def actions(found: list[Block]) -> list[tuple[int, str, str]]:
    """What the runner does for a page: (line, `python` or `command` or a file's path, text)."""
    steps = []
    for block in found:
        if block.file:
            steps.append((block.line, block.file, block.text))
        elif block.language == "python":
            steps.append((block.line, "python", block.text))
        elif block.commands and not block.excuse:
            steps.append((block.line, "command", block.commands))
    return steps


def run(name: str, found: list[Block], folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps([name, actions(found)]),
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(repo.ROOT)))
def page(request) -> Path:
    return request.param


@pytest.fixture
def root(tmp_path) -> Path:
    """An empty folder with the examples in it."""
    ignored = shutil.ignore_patterns("__pycache__", "runs", "*.egg-info")
    shutil.copytree(repo.ROOT / "examples", tmp_path / "examples", ignore=ignored)
    return tmp_path


@pytest.mark.timeout(330)
def test_a_page_does_what_it_shows(page, root) -> None:
    found = blocks(page.read_text(encoding="utf-8"))
    if actions(found):
        child = run(str(page.relative_to(repo.ROOT)), found, root)
        assert child.returncode == 0, child.stdout


def test_blocks_are_in_a_language_that_is_checked_and_data_parses(page) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        where = f"{page}:{block.line}"
        assert block.language in LANGUAGES, f"{where}: use one of {sorted(LANGUAGES)}"
        if block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            json.loads(block.text)


def test_no_fence_escapes_the_reader(page) -> None:
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"(?m)^\s*(?:```|~~~)", text)
    assert len(fences) == 2 * len(FENCE.findall(text)), "use ``` at the start of a line, in pairs"


def test_a_file_that_a_page_shows_is_used_by_a_command_of_the_page(page) -> None:
    found = blocks(page.read_text(encoding="utf-8"))
    commands = "\n".join(block.commands for block in found)
    for block in found:
        assert block.file in commands, f"{page}:{block.line}: no command uses {block.file}"


def test_only_commands_that_install_or_publish_are_excused(page) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.excuse:
            assert NEEDS_A_MACHINE.search(block.commands), f"{page}:{block.line} can be run here"


# the reader of pages itself -----------------------------------------------------------------------


def test_python_blocks_of_a_page_share_a_namespace(tmp_path) -> None:
    found = blocks("```python\nx = 1\n```\ntext\n```python\nassert x == 1\n```\n")
    assert run("page.md", found, tmp_path).returncode == 0


def test_a_block_that_fails_is_named_by_page_and_line(tmp_path) -> None:
    child = run("page.md", blocks("text\n```python\n\n1 / 0\n```\n"), tmp_path)
    assert child.returncode != 0
    assert 'File "page.md", line 4' in child.stdout


def test_a_command_that_fails_fails_the_page(tmp_path) -> None:
    child = run("page.md", blocks("```console\n$ false\nno output\n```\n"), tmp_path)
    assert "page.md:1: exit 1" in child.stdout


def test_files_are_there_for_the_commands_that_follow(tmp_path) -> None:
    found = blocks("```python\n# app.py\nprint(1)\n```\n```bash\npython app.py\n```\n")
    assert run("page.md", found, tmp_path).returncode == 0


def test_an_excused_block_is_not_run(tmp_path) -> None:
    found = blocks("<!-- not run: it installs -->\n```bash\npip install x; exit 1\n```\n")
    assert run("page.md", found, tmp_path).returncode == 0
