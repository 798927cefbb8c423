"""Feeds and pages as bytes. Pure: the same articles give the same bytes, always."""

from feedsync.feeds.feed import Feed, feed_of_all, feed_of_category, feed_of_search
from feedsync.feeds.formats import FORMATS, Format, draw_entry
from feedsync.feeds.opml import draw_opml
from feedsync.feeds.pages import CategoryLine, HitLine, draw_article, draw_category, draw_index, draw_search
from feedsync.feeds.presentation import Presentation
from feedsync.feeds.window import Window, select

__all__ = [
    "FORMATS",
    "CategoryLine",
    "Feed",
    "Format",
    "HitLine",
    "Presentation",
    "Window",
    "draw_article",
    "draw_category",
    "draw_entry",
    "draw_index",
    "draw_opml",
    "draw_search",
    "feed_of_all",
    "feed_of_category",
    "feed_of_search",
    "select",
]
