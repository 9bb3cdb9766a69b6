import pytest
from flk.cli import main

from tests.kernel.shelf import shelf

__all__ = ["shelf"]


@pytest.fixture
def flk(capfd):
    """Run the command line: (exit code, stdout, stderr)."""

    def run(*args):
        with pytest.raises(SystemExit) as caught:
            main([str(arg) for arg in args])
        out, err = capfd.readouterr()
        return caught.value.code or 0, out, err

    return run
