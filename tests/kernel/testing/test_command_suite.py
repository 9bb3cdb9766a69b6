"""The suite of commands accepts a right one and names the fault of each wrong one."""

import sys
import textwrap

import pytest
from flk.testing import failing
from flk.testing.command import CommandSuite

RIGHT = """
    import json
    import click
    from flk.errors import FlkError

    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    @click.argument("word", default="one")
    def greet(as_json, word):
        '''Say a word.'''
        if word == "bad":
            raise FlkError("there is no such word")
        click.echo(json.dumps({"word": word}) if as_json else word)
"""

FAULTS = {
    "test_it_is_a_click_command": "def greet(): ...",
    "test_its_help_says_what_it_does": RIGHT.replace("'''Say a word.'''", "''"),
    "test_an_unknown_option_is_wrong_use": RIGHT.replace(
        "click.command()", "click.command(context_settings={'ignore_unknown_options': True})"
    ),
    "test_importing_it_prints_nothing": RIGHT + "    print('loaded')",
    "test_its_usages_succeed_every_time": RIGHT.replace(
        "if word", "done.append(word)\n        assert len(done) < 3\n        if word"
    ).replace("@click.command()", "done = []\n    @click.command()"),
    "test_json_is_one_document_on_stdout": RIGHT.replace("if word", "print('hm')\n        if word"),
    "test_its_failures_are_errors_of_flk_in_one_line": RIGHT.replace(
        "raise FlkError", "raise ValueError"
    ),
}

CHANGES = {
    "the threads": "import threading as t; t.Thread(target=t.Event().wait, daemon=True).start()",
    "the environment": "import os; os.environ['NEW'] = '1'",
    "the working directory": "import os; os.chdir('/')",
    "the module search path": "import sys; sys.path.append('.')",
    "the handler of Ctrl-C": "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "the other commands": "from flk.cli import root; root.add_command(greet)",
}


@pytest.fixture
def suite_of(tmp_path, monkeypatch):
    """A suite for a module of the given source."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(source):
        (tmp_path / "greeting_under_test.py").write_text(textwrap.dedent(source))

        class Suite(CommandSuite):
            target = "greeting_under_test:greet"
            usages = ([], ["two"])
            json_usages = (["--json"],)
            failures = (["bad"], ["--json=1"])

        return Suite

    yield make
    sys.modules.pop("greeting_under_test", None)


def test_a_right_command_passes(suite_of):
    assert failing(suite_of(RIGHT)) == {}


@pytest.mark.parametrize(("test", "source"), FAULTS.items(), ids=FAULTS)
def test_a_faulty_command_is_rejected_by_the_test_that_names_its_fault(suite_of, test, source):
    assert test in failing(suite_of(source))


@pytest.mark.parametrize(("what", "line"), CHANGES.items(), ids=CHANGES)
def test_an_import_with_side_effects_is_rejected_and_named(suite_of, what, line, tmp_path):
    suite = suite_of(RIGHT)
    with (tmp_path / "greeting_under_test.py").open("a") as file:
        file.write(line)
    error = suite()._imported().stderr
    assert what in error
    with pytest.raises(AssertionError):
        suite().test_importing_it_changes_nothing_outside_of_it()
