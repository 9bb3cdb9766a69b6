"""The command `flk`."""

import json
import subprocess
import sys

import pytest
from flk.cli import main

COMMAND = """
    import click
    from flk.errors import FlkError, UsageError

    @click.command()
    @click.argument("what", default="")
    def greet(what):
        '''Say hello.'''
        if what == "fail":
            raise FlkError("it does not work", cure="Mend it") from ValueError("the cause")
        if what == "misuse":
            raise UsageError("that cannot be")
        if what == "interrupt":
            raise KeyboardInterrupt
        if what == "bug":
            raise ZeroDivisionError
        click.echo("hello")
        return 7
"""


@pytest.fixture
def greet(shelf):
    shelf.add("flk-cmd-greet", "flk.commands.v1", "greet = mod_greet:greet", source=COMMAND)


@pytest.fixture
def flk(capsys):
    """Run the command line: (exit code, stdout, stderr)."""

    def run(*args):
        with pytest.raises(SystemExit) as caught:
            main(list(args))
        out, err = capsys.readouterr()
        return caught.value.code or 0, out, err

    return run


def test_help_shows_plugin_commands_with_their_summary_and_imports_none(shelf, flk):
    shelf.add("flk-cmd-bad", "flk.commands.v1", "bad = mod_bad:cmd", source="raise SystemExit(9)")
    code, out, _ = flk("--help")
    assert code == 0
    assert "bad " in out
    assert "What flk-cmd-bad is for" in out
    assert "mod_bad" not in sys.modules


def test_a_plugin_command_runs(greet, flk):
    assert flk("greet") == (0, "hello\n", "")


def test_a_plugin_command_shows_its_own_help(greet, flk):
    assert "Say hello." in flk("greet", "--help")[1]


def test_a_broken_plugin_command_is_one_sentence_and_the_others_work(shelf, greet, flk):
    shelf.add("flk-cmd-bad", "flk.commands.v1", "bad = mod_bad:cmd", source="import no_such_thing")
    code, out, err = flk("bad")
    assert (code, out) == (2, "")
    assert err.startswith("Error: command 'bad' of flk-cmd-bad 1.0 failed to import")
    assert err.count("\n") == 1
    assert flk("greet")[0] == 0


def test_a_plugin_cannot_replace_a_command_of_the_kernel(shelf, flk):
    shelf.add("p", "flk.commands.v1", "plugins = mod_p:cmd", source="raise SystemExit(9)")
    assert flk("plugins", "--json")[0] == 0
    assert "What p is for" not in flk("--help")[1]


def test_two_plugins_with_one_command_are_a_conflict_when_it_is_used(shelf, greet, flk):
    shelf.add("other", "flk.commands.v1", "greet = mod_x:greet", source=COMMAND)
    assert flk("--help")[0] == 0
    code, _, err = flk("greet")
    assert code == 2
    assert "flk-cmd-greet 1.0 and other 1.0" in err


def test_an_unknown_command_is_wrong_use_and_the_nearest_is_named(flk):
    code, _, err = flk("plugns")
    assert code == 2
    assert "Did you mean 'plugins'?" in err


def test_an_unknown_option_is_wrong_use(flk):
    assert flk("--nonsense")[0] == 2


def test_a_failure_is_one_sentence_and_exits_with_1(greet, flk):
    assert flk("greet", "fail") == (1, "", "Error: it does not work. Mend it\n")


def test_wrong_use_exits_with_2(greet, flk):
    assert flk("greet", "misuse")[0] == 2


def test_debug_shows_the_traceback_with_its_cause(greet, flk):
    code, _, err = flk("--debug", "greet", "fail")
    assert code == 1
    assert "Traceback" in err
    assert "the cause" in err


def test_debug_can_be_set_in_the_environment(greet, flk, monkeypatch):
    monkeypatch.setenv("FLK_DEBUG", "1")
    assert "Traceback" in flk("greet", "fail")[2]


def test_ctrl_c_exits_with_130(greet, flk):
    assert flk("greet", "interrupt")[0] == 130


def test_a_bug_is_not_hidden(greet):
    with pytest.raises(ZeroDivisionError):
        main(["greet", "bug"])


def test_the_version_is_shown(flk):
    from importlib.metadata import version

    assert flk("--version") == (0, f"flk {version('flk')}\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(flk, shell):
    code, out, _ = flk("completion", shell)
    assert code == 0
    assert "_FLK_COMPLETE" in out


def test_completing_a_command_imports_none(shelf, capsys, monkeypatch):
    shelf.add("p", "flk.commands.v1", "place = mod_bad:cmd", source="raise SystemExit(9)")
    for name, value in {"COMP_WORDS": "flk pl", "COMP_CWORD": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("_FLK_COMPLETE", "bash_complete")
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 0
    assert capsys.readouterr().out.split() == ["plain,place", "plain,plugins"]
    assert "mod_bad" not in sys.modules


def test_help_loads_nothing_that_is_slow():
    code = (
        "import sys\nfrom flk.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "slow = {'asyncio', 'importlib.metadata', 'msgpack', 'numpy', 'pluggy', 'stevedore'}\n"
        "print(sorted(slow & set(sys.modules)), file=sys.stderr)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stderr.strip() == "[]"


# flk plugins --------------------------------------------------------------------------------------


def test_plugins_are_listed_in_a_table(shelf, flk):
    shelf.add("flk-store-acme", "flk.stores.v1", "acme = m:A", version="3.1")
    code, out, _ = flk("plugins")
    header, line = out.splitlines()
    assert code == 0
    assert header.split() == ["role", "name", "distribution", "version", "summary"]
    assert line.split()[:4] == ["store", "acme", "flk-store-acme", "3.1"]


def test_plugins_are_listed_as_json(shelf, flk):
    shelf.add("flk-store-acme", "flk.stores.v1", "acme = m:A", version="3.1")
    code, out, _ = flk("plugins", "--json")
    assert code == 0
    (found,) = json.loads(out)
    assert found == {
        "role": "store",
        "name": "acme",
        "value": "m:A",
        "group": "flk.stores.v1",
        "distribution": "flk-store-acme",
        "version": "3.1",
        "summary": "What flk-store-acme is for",
    }


def test_no_plugins_are_said_to_be_none_and_what_to_install(shelf, flk):
    code, out, _ = flk("plugins")
    assert code == 0
    assert "pip install 'flk[sim]'" in out


def test_the_doctor_exits_with_1_if_something_is_wrong(shelf, flk):
    shelf.add("p", "flk.stores.v9", "a = m:A")
    code, out, _ = flk("plugins", "doctor")
    assert code == 1
    assert "wrong contract version" in out


def test_the_doctor_exits_with_0_if_nothing_is_wrong(shelf, flk):
    shelf.add("p", "flk.drivers.v1", "a = m:A")
    code, out, _ = flk("plugins", "doctor", "--json")
    assert code == 0
    (found,) = json.loads(out)
    assert (found["verdict"], found["plugin"]["name"]) == ("reserved role", "a")
