"""The commands of the search: find, and keep the index."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from feedsync.cli.terminal import load, print_json, printable, progress_bar, say_waiting, told_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from feedsync.model import Site
    from feedsync.query import Piece
    from feedsync.search import Hit, Order
    from feedsync.store import Store

_BATCH = 256


@click.command("search")
@click.argument("query", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="So many hits at most.")
@click.option("--order", type=click.Choice(["newest", "best"]), default="newest", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def search_command(option: str | None, query: tuple[str, ...], limit: int, order: Order, as_json: bool) -> int:
    """Articles whose title or text says these words.

    \b
    feedsync search 中国人寿
    feedsync search '"保险 业" (分红 OR 派息) -传闻 after:2026-01-01'
    feedsync search symbol:1.601628 --order best --json
    feedsync search -- -传闻
    """
    from zoneinfo import ZoneInfo

    from feedsync.query import parse_query, words_of
    from feedsync.search import find
    from feedsync.store import Store

    loaded = load(option)
    site = loaded.presentation.site
    asked = " ".join(query)
    expression = parse_query(asked, ZoneInfo(site.timezone))
    with Store.open_readonly(loaded.store_url) as store, store.reading() as reader:
        found = find(reader, expression, limit, order)
    words = words_of(expression)
    if as_json:
        hits = [_told(hit, words, site) for hit in found.hits]
        print_json({"query": asked, "order": order, "more": found.more, "hits": hits})
        return 0
    for hit in found.hits:
        _print(hit, words, site)
    click.echo(f"{len(found.hits)} found" + (", there are more: --limit" if found.more else ""))
    return 0


@click.command("index")
@click.option("--rebuild", is_flag=True, help="Forget the index and build it anew.")
@click.pass_obj
def index_command(option: str | None, rebuild: bool) -> int:
    """Bring the search index up to date, at once. The daemon does so by itself, little by little.

    Searches find the same with and without it, only faster with it.

    \b
    feedsync index
    feedsync index --rebuild
    """
    from feedsync.store import Index, Store

    loaded = load(option)
    indexed = 0
    with Store.open(loaded.store_url, say_waiting, one_pass=True) as store, progress_bar() as progress:
        if rebuild:
            with store.lock(say_waiting), store.writing() as writer:
                Index(writer.connection).clear()
        with store.reading() as reader:
            progress.start("index", Index(reader.connection).pending())
        while count := _index(store):
            indexed += count
            progress.step(count)
    click.echo(f"{indexed} articles indexed")
    return 0


def _index(store: Store) -> int:
    """One batch, in a turn of its own, so that passes of a daemon get theirs."""
    from feedsync.store import Index

    with store.lock(say_waiting), store.writing() as writer:
        return Index(writer.connection).catch_up(_BATCH)


def _told(hit: Hit, words: Sequence[str], site: Site) -> dict[str, Any]:
    from feedsync.feeds import names
    from feedsync.query import marked, snippet

    known, article = hit.entry.known, hit.entry.known.article
    pieces = snippet(hit.text, words)
    return {
        "key": article.key,
        "title": article.title.text,
        "title_marks": _marks(marked(article.title.text, words)),
        "snippet": "".join(piece.text for piece in pieces),
        "snippet_marks": _marks(pieces),
        "outlet": article.credit.outlet if article.credit else None,
        "published": told_time(known.published),
        "updated": told_time(known.updated),
        "categories": [category.term for category in article.categories],
        "page": names.url(site, names.article_path(article.key)),
        "urls": list(article.urls),
    }


def _marks(pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    """Where the hits begin and end, in characters."""
    marks: list[tuple[int, int]] = []
    at = 0
    for piece in pieces:
        if piece.hit:
            marks.append((at, at + len(piece.text)))
        at += len(piece.text)
    return marks


def _print(hit: Hit, words: Sequence[str], site: Site) -> None:
    from zoneinfo import ZoneInfo

    from feedsync.feeds import names
    from feedsync.query import marked, snippet

    known, article = hit.entry.known, hit.entry.known.article
    outlet = f"{printable(article.credit.outlet)}, " if article.credit else ""
    click.echo(_shown(marked(article.title.text, words)))
    click.echo(f"  {article.key}, {outlet}{known.published.astimezone(ZoneInfo(site.timezone)):%Y-%m-%d %H:%M}")
    if pieces := snippet(hit.text, words):
        click.echo(f"  {_shown(pieces)}")
    click.echo(f"  {names.url(site, names.article_path(article.key))}")


def _shown(pieces: Sequence[Piece]) -> str:
    """Hits stand out on a terminal, and stand in brackets elsewhere."""
    terminal = sys.stdout.isatty()
    shown = []
    for piece in pieces:
        text, hit = printable(piece.text), piece.hit
        shown.append(click.style(text, bold=True, fg="yellow") if hit and terminal else f"[{text}]" if hit else text)
    return "".join(shown)
