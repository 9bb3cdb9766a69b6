"""Sphinx for docs/. The reference pages are written from the code before each build."""

import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

project = "flk"
copyright = "the flk authors"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "flk"
html_show_sphinx = False
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3


def setup(app: Any) -> None:
    import generate

    generate.write(Path(app.srcdir) / "reference")
