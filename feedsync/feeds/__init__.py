"""Feeds and pages as bytes. Pure: the same articles give the same bytes, always."""

from feedsync.feeds.atom import draw_entry, draw_feed
from feedsync.feeds.feed import Feed, feed_of_all, feed_of_category
from feedsync.feeds.pages import CategoryLine, draw_article, draw_category, draw_index
from feedsync.feeds.presentation import Presentation
from feedsync.feeds.window import Window, select

__all__ = [
    "CategoryLine",
    "Feed",
    "Presentation",
    "Window",
    "draw_article",
    "draw_category",
    "draw_entry",
    "draw_feed",
    "draw_index",
    "feed_of_all",
    "feed_of_category",
    "select",
]
