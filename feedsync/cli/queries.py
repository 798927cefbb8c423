"""The commands that ask: counts, refusals, one article, the configuration."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, assert_never

import click

from feedsync import __version__
from feedsync.cli.terminal import load, print_json, printable, told_time
from feedsync.errors import UsageError

if TYPE_CHECKING:
    from feedsync.config import Config
    from feedsync.model import CustomFeed
    from feedsync.sources import Source
    from feedsync.store import Reader, SourceRow


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def status_command(option: str | None, as_json: bool) -> int:
    """Counts, last and next runs.

    \b
    feedsync status
    feedsync status --json
    """
    from feedsync import control
    from feedsync.store import Store

    loaded = load(option)
    with Store.open_readonly(loaded.store_url) as store:
        with store.reading() as reader:
            result = _status(reader, loaded)
        result["daemon"] = control.ask(control.socket_path(store.path))
    if as_json:
        print_json(result)
        return 0
    counts = result["counts"]
    click.echo(", ".join(f"{name} {count}" for name, count in counts.items()))
    daemon = result["daemon"]
    click.echo(f"daemon: {daemon['health']}, pid {daemon['pid']}" if daemon else "daemon: not running")
    for problem in daemon["problems"] if daemon else []:
        click.echo(f"  {printable(problem)}")
    for name, source in result["sources"].items():
        live = (daemon or {}).get("sources", {}).get(name, {})
        last = (live.get("last_run") or {}).get("at") or source["last_change"] or "never"
        click.echo(
            f"source {name}: {source['documents']} documents, {source['quarantined']} quarantined, "
            f"last run {last}, next run {live.get('next_run') or '-'}"
        )
        if fetching := source["fetching"]:
            click.echo(
                f"  {fetching['requests']} requests, {fetching['bytes']} bytes so far; "
                f"{source['failures']} failures in a row, next due {fetching['next_due'] or '-'}"
            )
        if skipped := live.get("skipped"):
            click.echo(f"  {skipped} scans skipped, for the one before still ran")
        if since := live.get("running_since"):
            click.echo(f"  being read since {since}")
        if error := (live.get("last_error") or {}).get("error") or source["error"]:
            click.echo(f"  last error: {printable(error)}")
        for failing in (fetching or {}).get("failing", ()):
            click.echo(f"  failing: {failing['url']}: {failing['reason']} (next try {failing['due']})")
    return 0


@click.command("quarantine")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def quarantine_command(option: str | None, as_json: bool) -> int:
    """Documents that were refused, and why.

    A refused document harms nothing; mend or remove the file, and the next pass takes it.

    \b
    feedsync quarantine
    """
    from feedsync.store import Store

    loaded = load(option)
    with Store.open_readonly(loaded.store_url) as store, store.reading() as reader:
        refused = reader.quarantined()
    if as_json:
        print_json(
            {
                "quarantine": [
                    {
                        "source": item.origin.source,
                        "location": item.origin.location,
                        "code": item.code,
                        "reason": item.reason,
                        "remedy": item.remedy,
                        "since": told_time(item.since),
                    }
                    for item in refused
                ]
            }
        )
        return 0
    for item in refused:
        click.echo(f"{printable(item.origin.source)}: {printable(item.origin.location)}")
        click.echo(f"  {item.code}: {printable(item.reason)}")
        click.echo(f"  what to do: {item.remedy}")
    click.echo(f"{len(refused)} refused")
    return 0


@click.command("show")
@click.argument("code")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def show_command(option: str | None, code: str, as_json: bool) -> int:
    """One article: every document it comes from, what was taken from which, its aliases, revisions and feeds.

    CODE may be an infoCode with or without NW, a source URL, a file name or a key.

    \b
    feedsync show NW202112222222765281
    feedsync show 202112222222765281 --json
    """
    from feedsync.store import Store

    loaded = load(option)
    with Store.open_readonly(loaded.store_url) as store, store.reading() as reader:
        result = _article(reader, loaded, code)
    if as_json:
        print_json(result)
        return 0
    for name, value in result.items():
        if isinstance(value, list):
            click.echo(f"{name}:")
            for item in value:
                text = ", ".join(f"{k} {v}" for k, v in item.items()) if isinstance(item, dict) else item
                click.echo(f"  {printable(str(text))}")
        else:
            click.echo(f"{name}: {printable(str(value))}")
    return 0


@click.command("why")
@click.argument("feed")
@click.argument("code")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def why_command(option: str | None, feed: str, code: str, as_json: bool) -> int:
    """Why an article is in a feed, or is not.

    FEED is all, the path or address of a feed, or the value of a category, outlet, symbol or tag. CODE is as for
    `show`.

    \b
    feedsync why all NW202112222222765281
    feedsync why category/emnews 202112222222765281 --json
    """
    from feedsync import why
    from feedsync.model import ALL
    from feedsync.parse import key_from_user
    from feedsync.store import Store

    loaded = load(option)
    with Store.open_readonly(loaded.store_url) as store, store.reading() as reader:
        feeds = why.feeds_of(reader.terms(ALL, *(s.name for s in loaded.presentation.schemes)))
        named = why.feed_named(feed, feeds, loaded.presentation.site)
        if named is None:
            near = difflib.get_close_matches(feed, feeds, 3, 0.3) or sorted(feeds)[:3]
            raise UsageError(f"there is no feed {feed!r}", remedy=f"there is {', '.join(near) or 'none yet'}")
        key = reader.key_of_alias(code) or key_from_user(code)
        if key is None:
            raise UsageError(f"{code!r} is no infoCode and no known URL", remedy="write it as NW202112222222765281")
        stem, term = named
        verdict = why.judge(reader, loaded.presentation.window, term, key)
    if as_json:
        print_json(
            {
                "feed": stem,
                "key": key,
                "in": verdict.stands,
                "code": verdict.code,
                "reason": verdict.reason,
                "since": told_time(verdict.since),
                "rank": verdict.rank,
            }
        )
        return 0
    since = f" (since {told_time(verdict.since)})" if verdict.since else ""
    click.echo(f"{key} is {'' if verdict.stands else 'not '}in {stem}: {printable(verdict.reason)}{since}")
    return 0


@click.command("check-config")
@click.option(
    "--nginx-redirects", is_flag=True, help="Print [feeds.redirects] as lines for an nginx map, nothing else."
)
@click.pass_obj
def check_config_command(option: str | None, nginx_redirects: bool) -> int:
    """Say what was understood of the configuration, or every fault with its place.

    \b
    feedsync check-config
    feedsync --config /etc/feedsync/feedsync.toml check-config
    feedsync check-config --nginx-redirects > /etc/nginx/feedsync-redirects.map
    """
    from feedsync.store import database

    loaded = load(option)
    database.path_of(loaded.store_url)  # one we cannot open is a fault, too
    if nginx_redirects:
        base_url = loaded.presentation.site.base_url.rstrip("/")
        for old, new in loaded.redirects.items():
            click.echo(f'"{old}" "{base_url}{new}";')
        return 0
    site, window = loaded.presentation.site, loaded.presentation.window
    click.echo(f"file: {loaded.file}")
    click.echo(f"site: {site.title}, {site.base_url}, ids tag:{site.authority}:, {site.language}, {site.timezone}")
    click.echo(f"store: {loaded.store_url}")
    click.echo(f"output: {loaded.output}")
    click.echo(
        f"feeds: {window.min_entries} newest entries and all of {window.window_hours} h, {window.max_entries} at most"
    )
    click.echo(f"server: {loaded.server.host} port {loaded.server.port}")
    for source in loaded.sources:
        click.echo(f"source {source.name}: {_described(source)}, {_when(source)}")
    for custom in loaded.presentation.custom:
        click.echo(f"feed {custom.name}: {custom.title}, {_conditions(custom)}")
    for value, label in loaded.presentation.labels.items():
        click.echo(f"category {value}: {label}")
    for old, new in loaded.redirects.items():
        click.echo(f"redirect {old}: {new}")
    return 0


def _conditions(custom: CustomFeed) -> str:
    """What a custom feed asks for."""
    told = [f"query {custom.query}"] if custom.query else []
    for name in ("any_of", "none_of", "outlets", "symbols"):
        if values := getattr(custom, name):
            told.append(f"{name} {', '.join(values)}")
    if custom.min_characters:
        told.append(f"at least {custom.min_characters} characters")
    return "; ".join(told)


def _when(source: Source) -> str:
    return f"at {source.cron}" if source.cron else f"every {source.interval_s:g} s"


def _described(source: Source) -> str:
    from feedsync.sources import FeedSource, FileSource, ListSource, UrlSource
    from feedsync.sources.address import shown

    match source:
        case FileSource():
            completed = ", completed from their source URLs" if source.fetch else ""
            return f"files {source.path} ({', '.join(source.pattern)}){completed}"
        case UrlSource():
            listed = f"{len(source.urls)} URLs" + (f" and those in {source.path}" if source.path else "")
            return f"urls {listed}"
        case ListSource():
            return f"list {shown(source.url)} (details {shown(source.detail_url)})"
        case FeedSource():
            return f"feed {shown(source.url)}"
        case _:
            assert_never(source)


def _status(reader: Reader, loaded: Config) -> dict[str, Any]:
    configured = {source.name for source in loaded.sources}
    rows = reader.source_rows()
    counts = reader.totals() | {"documents": sum(row.documents for row in rows)}
    schemes = [scheme.name for scheme in loaded.presentation.schemes]
    return {
        "version": __version__,
        "counts": counts | {"feeds": 1 + reader.standing(*schemes)},
        "sources": {
            row.name: {
                "configured": row.name in configured,
                "files": row.files,
                "documents": row.documents,
                "quarantined": row.quarantined,
                "last_change": told_time(row.ran),
                "last_success": told_time(row.succeeded),
                "error": row.error,
                "failures": row.failures,
                "fetching": _fetching(reader, row),
            }
            for row in rows
        },
    }


def _fetching(reader: Reader, row: SourceRow) -> dict[str, Any] | None:
    """What fetching has cost and what of it fails; None for a source that never fetched."""
    from feedsync.store import Fetches

    source_id = reader.find_source(row.name)
    if not row.requests or source_id is None:
        return None
    fetches = Fetches(reader.connection)
    summary = fetches.summary(source_id)
    return {
        "requests": row.requests,
        "bytes": row.bytes,
        "urls": summary.urls,
        "next_due": told_time(summary.next_due),
        "failing_urls": summary.failing,
        "failing": [
            {"url": failing.url, "reason": failing.fault, "failures": failing.failures, "due": told_time(failing.due)}
            for failing in fetches.failing(source_id, 10)
        ],
    }


def _article(reader: Reader, loaded: Config, code: str) -> dict[str, Any]:
    from feedsync import why
    from feedsync.feeds import names
    from feedsync.model import ALL
    from feedsync.parse import key_from_user

    key = reader.key_of_alias(code) or key_from_user(code)
    known = reader.known([key]).get(key) if key else None
    if known is None or key is None:
        raise UsageError(f"there is no article {code!r}", remedy="see `feedsync quarantine`, or resync")
    article, site = known.article, loaded.presentation.site
    read = reader.readings(key)
    published = {ALL, *(scheme.name for scheme in loaded.presentation.schemes)}
    places = [(term, since) for term, since in reader.filed(key) if term.scheme in published]
    filed = {stem: (term, since) for term, since in places for stem in why.feeds_of([term])}
    window = loaded.presentation.window
    verdicts = {stem: why.judge(reader, window, term, key) for stem, (term, _) in filed.items()}
    withdrawal = known.withdrawal
    return {
        "key": key,
        "id": names.article_id(site, key),
        "title": article.title.text,
        "outlet": article.credit.outlet if article.credit else None,
        "published": told_time(known.published),
        "updated": told_time(known.updated),
        "arrived": told_time(known.arrived),
        "held": article.held,
        "withdrawn": {"at": told_time(withdrawal.at), "reason": withdrawal.reason} if withdrawal else None,
        "future": article.published.at > known.arrived,
        "page": names.url(site, names.article_path(key)),
        "aliases": names.aliases(key) + reader.aliases(key),
        "categories": [category.term for category in article.categories],
        "tags": list(article.tags),
        "symbols": [
            {"symbol": symbol.value, "role": symbol.role.value, "name": symbol.name} for symbol in article.symbols
        ],
        "documents": [
            {
                "source": origin.source,
                "location": origin.location,
                "url": read[origin][1] or (said.attribution.url if said.attribution else ""),
                "read": told_time(read[origin][0]),
                "digest": said.body.digest.hex(),
                "withdrawn": said.withdrawn,
            }
            for origin, said in sorted(known.documents.items(), key=lambda pair: pair[0])
        ],
        "decisions": [
            {
                "part": decision.part,
                "value": decision.value,
                "rule": decision.rule,
                "documents": [f"{origin.source}: {origin.location}" for origin in decision.origins],
            }
            for decision in why.decisions(known)
        ],
        "revisions": [
            {"at": told_time(revision.at), "title": revision.title, "digest": revision.digest.hex()}
            for revision in reader.revisions(key)
        ],
        "feeds": [names.url(site, f"{stem}.atom") for stem in filed],
        "memberships": [
            {
                "feed": stem,
                "since": told_time(since),
                "shown": verdicts[stem].stands,
                "why": verdicts[stem].reason,
            }
            for stem, (_, since) in filed.items()
        ],
    }
