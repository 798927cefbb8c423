"""Feeds and pages as bytes. Pure: the same articles give the same bytes, always."""

from feedsync.feeds.feed import Deleted, Feed, feed_of_all, feed_of_category, feed_of_search
from feedsync.feeds.formats import FORMATS, Format, draw_entry
from feedsync.feeds.opml import draw_opml
from feedsync.feeds.pages import (
    CategoryLine,
    HitLine,
    Line,
    Section,
    Step,
    Stretch,
    draw_archive,
    draw_article,
    draw_category,
    draw_error,
    draw_index,
    draw_search,
    draw_section,
    line_of,
)
from feedsync.feeds.presentation import Presentation
from feedsync.feeds.style import SHEETS, STYLE
from feedsync.feeds.window import Window, select

__all__ = [
    "FORMATS",
    "SHEETS",
    "STYLE",
    "CategoryLine",
    "Deleted",
    "Feed",
    "Format",
    "HitLine",
    "Line",
    "Presentation",
    "Section",
    "Step",
    "Stretch",
    "Window",
    "draw_archive",
    "draw_article",
    "draw_category",
    "draw_entry",
    "draw_error",
    "draw_index",
    "draw_opml",
    "draw_search",
    "draw_section",
    "feed_of_all",
    "feed_of_category",
    "feed_of_search",
    "line_of",
    "select",
]
