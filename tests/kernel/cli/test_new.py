"""`flk new`: what is written, and what is refused."""

import ast
import errno
import tomllib
from pathlib import Path

import pytest

TEMPLATES = ("numpy", "torch")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder):
    return {str(f.relative_to(folder)): f for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_project_is_a_folder_with_code_test_and_description(here, flk, template):
    code, out, err = flk("new", "my-job", "--template", template)
    assert (code, err) == (0, "")
    assert "flk run my-job" in out
    wanted = {"recipe.py", "server.py", "client.py", "data.py", "README.md", "pyproject.toml"}
    assert wanted | {"tests/test_recipe.py"} <= set(files(here / "my-job"))


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_projects_name_stands_wherever_the_templates_did(here, flk, template):
    flk("new", "my-job", "--template", template)
    for path in files(here / "my-job").values():
        text = path.read_text()
        assert "PROJECT" not in text
        if path.suffix == ".py":
            ast.parse(text)
    project = tomllib.loads((here / "my-job" / "pyproject.toml").read_text())["project"]
    assert project["name"] == "my-job"
    assert any(d.startswith("flk[sim") for d in project["dependencies"])


def test_numpy_is_the_template_unless_another_is_asked_for(here, flk):
    flk("new", "a")
    flk("new", "b", "--template", "numpy")
    assert files(here / "a").keys() == files(here / "b").keys()


@pytest.mark.parametrize(
    "name", ["", "1st", "Upper", "with space", "a/b", "..", "a.", "a-", "é", "x" * 41, "a\n"]
)
def test_a_name_that_cannot_be_a_projects_is_refused(here, flk, name):
    code, _, err = flk("new", "--", name)
    assert code == 2
    assert "cannot name a project" in err
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_what_exists_is_never_touched(here, flk, kind):
    path = here / "mine"
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("precious")
    else:
        path.symlink_to("nowhere")
    code, _, err = flk("new", "mine")
    assert code == 2
    assert "mine exists already" in err
    assert files(here).keys() <= {"mine"}


def test_an_unknown_template_is_wrong_use(here, flk):
    assert flk("new", "mine", "--template", "jax")[0] == 2
    assert list(here.iterdir()) == []


def test_a_full_disk_leaves_nothing_behind(here, flk, monkeypatch):
    write = Path.write_text

    def until_full(path, text, **options):
        if path.name == "server.py":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", until_full)
    code, _, err = flk("new", "mine")
    assert code == 1
    assert "mine cannot be written: No space left on device" in err
    assert list(here.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(here, flk, monkeypatch):
    def refuse(path, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    code, _, err = flk("new", "mine")
    assert (code, err) == (1, "Error: mine cannot be made: Permission denied\n")
