"""Feeds and pages as bytes. Pure: the same articles give the same bytes, always."""

from feedsync.feeds.feed import Deleted, Feed, feed_of_all, feed_of_search, feed_of_term
from feedsync.feeds.formats import FORMATS, Format, draw_entry, formats_of
from feedsync.feeds.layout import Piece
from feedsync.feeds.opml import draw_opml, draw_outline
from feedsync.feeds.pages import (
    HitLine,
    Line,
    Section,
    Shelf,
    Step,
    Stretch,
    TermLine,
    draw_archive,
    draw_article,
    draw_error,
    draw_index,
    draw_list,
    draw_listed,
    draw_search,
    draw_section,
    draw_term,
    line_of,
    prepare_to_draw,
)
from feedsync.feeds.presentation import Presentation
from feedsync.feeds.schemes import LARGE_ALIASES, SCHEMES, Scheme
from feedsync.feeds.style import SHEETS, STYLE
from feedsync.feeds.window import Window, select

__all__ = [
    "FORMATS",
    "LARGE_ALIASES",
    "SCHEMES",
    "SHEETS",
    "STYLE",
    "Deleted",
    "Feed",
    "Format",
    "HitLine",
    "Line",
    "Piece",
    "Presentation",
    "Scheme",
    "Section",
    "Shelf",
    "Step",
    "Stretch",
    "TermLine",
    "Window",
    "draw_archive",
    "draw_article",
    "draw_entry",
    "draw_error",
    "draw_index",
    "draw_list",
    "draw_listed",
    "draw_opml",
    "draw_outline",
    "draw_search",
    "draw_section",
    "draw_term",
    "feed_of_all",
    "feed_of_search",
    "feed_of_term",
    "formats_of",
    "line_of",
    "prepare_to_draw",
    "select",
]
