"""What every command of the `flk` command line must do. Its own purpose is tested by its author."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from abc import ABC
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click
from click.testing import CliRunner, Result

from flk.errors import FlkError

__all__ = ["CommandSuite"]

_IMPORT = """
import os, signal, sys, threading
from flk.cli import COMMANDS, root

def state():
    return {
        "the working directory": os.getcwd(),
        "the environment": dict(os.environ),
        "the module search path": list(sys.path),
        "the handler of Ctrl-C": signal.getsignal(signal.SIGINT),
        "the threads": threading.enumerate(),
        "the other commands": (dict(COMMANDS), dict(root.commands), len(root.params)),
    }

before = state()
__import__(sys.argv[1])
after = state()
print(*[name for name in before if before[name] != after[name]], sep="\\n", file=sys.stderr)
"""


class CommandSuite(ABC):
    """Set `target`; add `usages` that show what the command can do without a network."""

    target: str
    """`module:attribute`, as in the entry point."""

    usages: Sequence[Sequence[str]] = ()
    """Arguments that succeed."""

    json_usages: Sequence[Sequence[str]] = ()
    """Arguments, `--json` among them, that succeed and print one JSON document."""

    failures: Sequence[Sequence[str]] = ()
    """Arguments that fail: wrong use, or a file that is not there."""

    def test_it_is_a_click_command(self) -> None:
        assert isinstance(self._command(), click.Command)

    def test_its_help_says_what_it_does(self) -> None:
        assert self._command().help, "the command has no help text"
        assert self._run(["--help"]).exit_code == 0

    def test_an_unknown_option_is_wrong_use(self) -> None:
        assert self._run(["--no-such-option"]).exit_code == 2

    def test_importing_it_prints_nothing(self) -> None:
        assert self._imported().stdout == ""

    def test_importing_it_changes_nothing_outside_of_it(self) -> None:
        imported = self._imported()
        assert imported.returncode == 0, imported.stderr
        assert imported.stderr.split("\n") == ["", ""], f"importing changed: {imported.stderr}"

    def test_its_usages_succeed_every_time(self) -> None:
        for args in [*self.usages, *self.usages, *self.json_usages]:
            result = self._run(args)
            assert result.exit_code == 0, (args, result.output, result.exception)

    def test_json_is_one_document_on_stdout(self) -> None:
        for args in self.json_usages:
            json.loads(self._run(args).stdout)

    def test_its_failures_are_errors_of_flk_in_one_line(self) -> None:
        for args in self.failures:
            result = self._run(args)
            error = result.exception
            if isinstance(error, FlkError):
                assert str(error).strip() and "\n" not in str(error), args
            else:
                assert isinstance(error, SystemExit) and error.code in (1, 2), (args, error)

    def _command(self) -> Any:
        module, _, attribute = self.target.partition(":")
        return getattr(import_module(module), attribute)

    def _run(self, args: Sequence[str]) -> Result:
        return CliRunner().invoke(self._command(), list(args))

    def _imported(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 our own interpreter and code
            [sys.executable, "-P", "-c", _IMPORT, self.target.partition(":")[0]],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
