"""Runs import-linter over the sources, so that nothing has to be installed for it."""

import sys

from importlinter.cli import lint_imports

from tests import repo

if __name__ == "__main__":
    sys.path[:0] = [str(repo.ROOT / "kernel"), *(str(p.folder / "src") for p in repo.plugins())]
    sys.exit(lint_imports(no_cache=True, no_logo=True))
