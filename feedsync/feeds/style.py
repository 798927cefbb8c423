"""The style sheet, in two sizes, under a name that follows from what is in them."""

from __future__ import annotations

from importlib.resources import files

from feedsync.feeds import names
from feedsync.text import digest

_FOLDER = files("feedsync.feeds").joinpath("templates")
_NORMAL = _FOLDER.joinpath("style.css").read_bytes()
_LARGE = _NORMAL + _FOLDER.joinpath("large.css").read_bytes()

STYLE = f"assets/style-{digest(_NORMAL, _LARGE).hex()[:12]}.css"
"""The path of the style sheet: below the root and, in its large edition, below `large/`."""

SHEETS = {STYLE: _NORMAL, f"{names.LARGE}/{STYLE}": _LARGE}
"""Both editions by path."""
