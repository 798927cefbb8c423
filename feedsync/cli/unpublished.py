"""The command that lists the articles nobody sees, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from feedsync.cli.terminal import load, print_json, printable, told_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from feedsync.store import Reader

_STRETCH = 500


@click.command("unpublished")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def unpublished_command(option: str | None, as_json: bool) -> int:
    """Articles that are in no feed, and why: those that wait for a better copy, and those that were withdrawn.

    Documents that were refused, and so are no articles, are what `quarantine` lists.

    \b
    feedsync unpublished
    feedsync unpublished --json
    """
    from feedsync.store import Store

    with Store.open_readonly(load(option).store_url) as store, store.reading() as reader:
        found = list(_unpublished(reader))
    if as_json:
        print_json({"unpublished": found})
        return 0
    for one in found:
        click.echo(f"{one['key']}: {printable(one['title'] or '-')}")
        click.echo(f"  {one['code']}: {printable(one['reason'])} (since {one['since'] or '-'})")
        for document in one["documents"]:
            click.echo(f"  {printable(document['source'])}: {printable(document['location'])}")
    click.echo(f"{len(found)} unpublished")
    return 0


def _unpublished(reader: Reader) -> Iterator[dict[str, Any]]:
    from feedsync import why

    keys = reader.unpublished()
    for start in range(0, len(keys), _STRETCH):
        some = keys[start : start + _STRETCH]
        known, words = reader.known(some), reader.words(some)
        for key in some:
            article = known.get(key)
            if verdict := why.absent(article, words.get(key)):
                yield {
                    "key": key,
                    "title": article.article.title.text if article else None,
                    "code": verdict.code,
                    "reason": verdict.reason,
                    "since": told_time(verdict.since),
                    "documents": [
                        {"source": origin.source, "location": origin.location}
                        for origin in sorted(article.documents if article else ())
                    ],
                }
