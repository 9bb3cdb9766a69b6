"""`flk plugins new`: what it writes can be installed and passes its suite as it is."""

import errno
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from flk.cli import main
from flk.cli.generator import write_plugin
from flk.errors import StorageError, UsageError
from flk.spi import ROLES

CONTRACTS = [role for role in ROLES.values() if role.contract]

EXAMINE = """
import sys
from flk.registry import examine, installed
(plugin,) = [p for p in installed(sys.argv[1]) if p.distribution == sys.argv[2]]
print(examine(plugin).verdict)
"""


def child(*args, cwd, site=None):
    path = [str(site)] * bool(site) + [p for p in sys.path if p]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in [name for name in env if name.startswith(("FLK_", "PYTEST_"))]:
        del env[name]
    done = subprocess.run(
        [sys.executable, *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(find_spec("hatchling") is None, reason="hatchling builds the wheels")
@pytest.mark.parametrize("role", CONTRACTS, ids=lambda role: role.word)
def test_it_installs_and_passes_its_suite_as_generated(role, tmp_path):
    if find_spec(f"flk.testing.{role.word}") is None:
        pytest.skip("the role has no suite yet")
    folder = write_plugin(role.word, "my-own", tmp_path)
    child("-c", "import hatchling.build as b; b.build_wheel('dist')", cwd=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    out = child(
        "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio",
        cwd=folder, site=tmp_path / "site",
    )  # fmt: skip
    assert " passed" in out
    found = child(
        "-c", EXAMINE, role.word, f"{role.prefix}-my-own", cwd=tmp_path, site=tmp_path / "site"
    )
    assert found.strip() == "ok"


@pytest.mark.parametrize("role", CONTRACTS, ids=lambda role: role.word)
def test_the_folder_carries_the_distributions_name_and_nothing_of_the_template(role, tmp_path):
    folder = write_plugin(role.word, "my_own2", tmp_path)
    assert folder.name == f"{role.prefix}-my-own2"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == folder.name
    assert list(project["entry-points"]) == [role.group]
    for path in folder.rglob("*"):
        if path.is_file():
            assert "acme" not in path.name + path.read_text().lower(), path
            assert not {"ROLE", "USAGE", "CONTRACT", "ENTRY", "TARGET"} & set(
                path.read_text().split()
            ), path


def test_the_command_says_what_to_do_next(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["plugins", "new", "store", "mine", "--into", str(tmp_path)])
    assert caught.value.code in (None, 0)
    assert f"pip install -e {tmp_path / 'flk-store-mine'}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["", "A", "1a", "a b", "a/b", "../a", "a-", "-a", "a" * 41, "é", "a.b", "a\n", "a'b"]
)
def test_a_name_that_cannot_be_one_is_refused_and_nothing_is_written(name, tmp_path):
    with pytest.raises(UsageError):
        write_plugin("store", name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(tmp_path):
    (tmp_path / "flk-store-mine").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        write_plugin("store", "mine", tmp_path)
    assert list((tmp_path / "flk-store-mine").iterdir()) == []


@pytest.mark.parametrize("role", ["driver", "nonsense"])
def test_a_role_without_a_contract_is_refused(role, tmp_path):
    with pytest.raises(UsageError):
        write_plugin(role, "mine", tmp_path)


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write_plugin("store", "mine", Path(tmp_path / "file"))


def test_a_full_disk_leaves_no_half_of_a_plugin(tmp_path, monkeypatch):
    write = Path.write_text

    def until_full(path, text, **options):
        if path.name == "test_contract.py":
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", until_full)
    with pytest.raises(StorageError, match="No space left"):
        write_plugin("store", "acme", tmp_path)
    assert list(tmp_path.iterdir()) == []
