"""An error as people read it: a sentence, and the place in the user's own code, read from a
traceback that may be another process's."""

from __future__ import annotations

import os
import re
import traceback
from pathlib import Path

from flk.errors import CallError, FlkError, QuorumError, described, printable, said

__all__ = ["place_of", "sentence", "trace_of"]

_FRAME = re.compile(r'^ *File "(.+)", line (\d+)(?:, in (.+))?$', re.MULTILINE)
_NOT_THE_USERS = (Path(__file__).parents[1], Path(os.__file__).parent)


def sentence(error: BaseException) -> str:
    """What happened, with the class of an error that is not flk's."""
    return said(error) if isinstance(error, FlkError) else described(error)


def place_of(error: BaseException) -> str:
    """`file:line in function` of the innermost line of the user's own code; empty if there is
    none."""
    found = ""
    for file, line, function in _FRAME.findall(trace_of(error)):
        path = Path(file)
        foreign = not path.is_absolute() or "site-packages" in path.parts
        if not foreign and not any(map(path.is_relative_to, _NOT_THE_USERS)):
            found = f"{file}:{line}" + (f" in {function}" if function else "")
    return found


def trace_of(error: BaseException) -> str:
    """The traceback's text; last that of the site where the error arose, if it arose at one."""
    own = printable("".join(traceback.format_exception(error)))
    failures = error.failures.values() if isinstance(error, QuorumError) else [error]
    remote = [f.remote_traceback for f in failures if isinstance(f, CallError)]
    return own + next(filter(None, remote), "")
