"""Commands and exit codes. The only reader of arguments and environment.

Results go to stdout, logs and progress to stderr. Exit codes: 0 done; 1 done, but something was refused or
could not be fetched; 2 usage or configuration; 3 the store, the output folder or the lock could not be used.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from feedsync import __version__
from feedsync.errors import ConfigError, FeedsyncError, UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from feedsync.config import Config
    from feedsync.publish import Publisher
    from feedsync.report import SyncReport
    from feedsync.store import Reader

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=_CONTEXT)
@click.option("--config", "config", metavar="FILE", help="Configuration file. Default: $FEEDSYNC_CONFIG, else "
              "./config/feedsync.toml, else /etc/feedsync/feedsync.toml.")  # fmt: skip
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.version_option(__version__, message="feedsync %(version)s")
@click.pass_context
def command(context: click.Context, config: str | None, verbose: bool) -> None:
    """Turn article files into Atom feeds that readers can trust.

    \b
    feedsync run                        the daemon: scan, watch, serve
    feedsync resync                     one pass now
    feedsync show NW202112222222765281  why is this article here?
    """
    from feedsync import log

    log.configure(verbose=verbose)
    context.obj = config


@command.command("run")
@click.pass_obj
def run_command(option: str | None) -> None:
    """Run the daemon: scheduler, watcher and HTTP server.

    SIGTERM and SIGINT stop it cleanly, SIGHUP reloads the configuration.

    \b
    feedsync run
    feedsync --config /etc/feedsync/feedsync.toml run
    """
    from feedsync import config, daemon

    path = config.find(option)
    daemon.serve(config.load(path), lambda: config.load(path))


@command.command("resync")
@click.argument("sources", metavar="[SOURCE]...", nargs=-1)
@click.option("--info-code", "codes", metavar="CODE", multiple=True, help="Re-read just this article (repeatable).")
@click.option("--full", is_flag=True, help="Ignore every cache and draw everything anew.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON document.")
@click.pass_obj
def resync_command(
    option: str | None,
    sources: tuple[str, ...],
    codes: tuple[str, ...],
    full: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Bring everything up to date: ingest, then publish what changed.

    Reads all sources, or those named. Safe beside a running daemon.

    \b
    feedsync resync
    feedsync resync articles --full
    feedsync resync --info-code NW202112222222765281
    feedsync resync --dry-run --json
    """
    from contextlib import ExitStack

    from feedsync.sync import Request, run

    loaded = _load(option)
    chosen = _choose(loaded, sources)
    _check_codes(codes)
    with ExitStack() as stack:
        store = _open_for_pass(loaded, stack, dry_run=dry_run)
        progress = stack.enter_context(_progress())
        report = run(
            store,
            _publisher(loaded),
            chosen,
            Request(full=full, dry_run=dry_run, codes=codes),
            progress=progress,
            waiting=_say_waiting,
        )
    if as_json:
        _print_json(report.to_json())
    else:
        _print_report(report)
    return 0 if report.clean else 1


@command.command("publish")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the tree differs from the store.")
@click.pass_obj
def publish_command(option: str | None, check: bool) -> int:
    """Draw everything from the store alone.

    \b
    feedsync publish
    feedsync publish --check
    """
    from feedsync.store import Store

    loaded = _load(option)
    publisher = _publisher(loaded)
    if check:
        with Store.open_readonly(loaded.store_url) as store:
            different = list(publisher.differences(store))
        for path in different:
            click.echo(path)
        return 1 if different else 0
    with Store.open(loaded.store_url, _say_waiting) as store, store.lock(_say_waiting), _progress() as progress:
        publisher.tree.sweep()
        report = publisher.publish(store, everything=True, progress=progress.step)
    click.echo(f"feeds: {report.written} written, {report.unchanged} unchanged; pages: {report.pages} written")
    return 0


@command.command("status")
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

    loaded = _load(option)
    with Store.open_readonly(loaded.store_url) as store:
        with store.reading() as reader:
            result = _status(reader, loaded)
        result["daemon"] = control.ask(control.socket_path(store.path))
    if as_json:
        _print_json(result)
        return 0
    counts = result["counts"]
    click.echo(", ".join(f"{name} {count}" for name, count in counts.items()))
    daemon = result["daemon"]
    click.echo(f"daemon: {daemon['health']}, pid {daemon['pid']}" if daemon else "daemon: not running")
    for problem in daemon["problems"] if daemon else []:
        click.echo(f"  {_clean(problem)}")
    for name, source in result["sources"].items():
        live = (daemon or {}).get("sources", {}).get(name, {})
        last = (live.get("last_run") or {}).get("at") or source["last_change"] or "never"
        click.echo(
            f"source {name}: {source['documents']} documents, {source['quarantined']} quarantined, "
            f"last run {last}, next run {live.get('next_run') or '-'}"
        )
        if skipped := live.get("skipped"):
            click.echo(f"  {skipped} scans skipped, for the one before still ran")
        if since := live.get("running_since"):
            click.echo(f"  being read since {since}")
        if error := (live.get("last_error") or {}).get("error") or source["error"]:
            click.echo(f"  last error: {_clean(error)}")
    return 0


@command.command("quarantine")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def quarantine_command(option: str | None, as_json: bool) -> int:
    """Documents that were refused, and why.

    A refused document harms nothing; mend or remove the file, and the next pass takes it.

    \b
    feedsync quarantine
    """
    from feedsync.store import Store

    loaded = _load(option)
    with Store.open_readonly(loaded.store_url) as store, store.reading() as reader:
        refused = reader.quarantined()
    if as_json:
        _print_json(
            {
                "quarantine": [
                    {
                        "source": item.origin.source,
                        "location": item.origin.location,
                        "code": item.code,
                        "reason": item.reason,
                        "remedy": item.remedy,
                        "since": _time(item.since),
                    }
                    for item in refused
                ]
            }
        )
        return 0
    for item in refused:
        click.echo(f"{_clean(item.origin.source)}: {_clean(item.origin.location)}")
        click.echo(f"  {item.code}: {_clean(item.reason)}")
        click.echo(f"  what to do: {item.remedy}")
    click.echo(f"{len(refused)} refused")
    return 0


@command.command("show")
@click.argument("code")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def show_command(option: str | None, code: str, as_json: bool) -> int:
    """One article: its aliases, documents, revisions and feeds.

    CODE may be an infoCode with or without NW, a source URL, a file name or a key.

    \b
    feedsync show NW202112222222765281
    feedsync show 202112222222765281 --json
    """
    from feedsync.store import Store

    loaded = _load(option)
    with Store.open_readonly(loaded.store_url) as store, store.reading() as reader:
        result = _article(reader, loaded, code)
    if as_json:
        _print_json(result)
        return 0
    for name, value in result.items():
        if isinstance(value, list):
            click.echo(f"{name}:")
            for item in value:
                text = ", ".join(f"{k} {v}" for k, v in item.items()) if isinstance(item, dict) else item
                click.echo(f"  {_clean(str(text))}")
        else:
            click.echo(f"{name}: {_clean(str(value))}")
    return 0


@command.command("check-config")
@click.pass_obj
def check_config_command(option: str | None) -> int:
    """Say what was understood of the configuration, or every fault with its place.

    \b
    feedsync check-config
    feedsync --config /etc/feedsync/feedsync.toml check-config
    """
    loaded = _load(option)
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
        click.echo(
            f"source {source.name}: files {source.path} ({', '.join(source.pattern)}), "
            + (f"at {source.cron}" if source.cron else f"every {source.interval_s} s")
        )
    for value, label in loaded.presentation.labels.items():
        click.echo(f"category {value}: {label}")
    return 0


def main() -> None:
    """The `feedsync` command."""
    sys.exit(_main())


def _main() -> int:
    try:
        result = command.main(prog_name="feedsync", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        click.echo("feedsync: interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    except ConfigError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        click.echo(f"feedsync: {error}", err=True)
        return error.exit_code
    except FeedsyncError as error:
        click.echo(f"feedsync: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    return result if isinstance(result, int) else 0


def _load(option: str | None) -> Config:
    from feedsync import config

    return config.load(config.find(option))


def _publisher(loaded: Config) -> Publisher:
    from feedsync.outputs import Tree
    from feedsync.publish import Publisher

    return Publisher(Tree(loaded.output), loaded.presentation)


def _choose(loaded: Config, names: tuple[str, ...]) -> list[Any]:
    known = {source.name: source for source in loaded.sources}
    for name in names:
        if name not in known:
            raise UsageError(f"there is no source {name!r}", remedy=f"the sources are: {', '.join(known) or 'none'}")
    return [known[name] for name in dict.fromkeys(names)] if names else list(loaded.sources)


def _check_codes(codes: tuple[str, ...]) -> None:
    from feedsync.parse import key_from_user

    for code in codes:
        if key_from_user(code) is None:
            raise UsageError(f"{code!r} is not an infoCode", remedy="write it as NW202112222222765281")


def _open_for_pass(loaded: Config, stack: Any, *, dry_run: bool) -> Any:
    """The store for a pass; a dry run of a store that does not exist yet gets one that is gone afterwards."""
    from feedsync.store import Store

    if dry_run and not Store.exists(loaded.store_url):
        return stack.enter_context(Store.scratch())
    return stack.enter_context(Store.open(loaded.store_url, _say_waiting))


def _status(reader: Reader, loaded: Config) -> dict[str, Any]:
    configured = {source.name for source in loaded.sources}
    counts = reader.totals()
    return {
        "version": __version__,
        "counts": counts | {"feeds": 1 + sum(1 for term in reader.terms("category") if term.articles)},
        "sources": {
            row.name: {
                "configured": row.name in configured,
                "files": row.files,
                "documents": row.documents,
                "quarantined": row.quarantined,
                "last_change": _time(row.ran),
                "last_success": _time(row.succeeded),
                "error": row.error,
            }
            for row in reader.source_rows()
        },
    }


def _article(reader: Reader, loaded: Config, code: str) -> dict[str, Any]:
    from feedsync.feeds import names
    from feedsync.parse import key_from_user

    key = reader.key_of_alias(code) or key_from_user(code)
    known = reader.known([key]).get(key) if key else None
    if known is None or key is None:
        raise UsageError(f"there is no article {code!r}", remedy="see `feedsync quarantine`, or resync")
    article, site = known.article, loaded.presentation.site
    read = reader.read_times(key)
    feeds = [] if article.held else [names.url(site, names.ALL_ATOM)]
    if not article.held:
        feeds += [names.url(site, names.category_path(c.term, "atom")) for c in article.categories]
    return {
        "key": key,
        "id": names.article_id(site, key),
        "title": article.title.text,
        "outlet": article.credit.outlet if article.credit else None,
        "published": _time(known.published),
        "updated": _time(known.updated),
        "arrived": _time(known.arrived),
        "held": article.held,
        "future": article.published.at > known.arrived,
        "page": names.url(site, names.article_path(key)),
        "aliases": names.aliases(key) + reader.aliases(key),
        "categories": [category.term for category in article.categories],
        "tags": list(article.tags),
        "symbols": [
            {"symbol": symbol.value, "role": symbol.role.value, "name": symbol.name} for symbol in article.symbols
        ],
        "documents": [
            {"source": origin.source, "location": origin.location, "read": _time(read.get(origin))}
            for origin in sorted(known.documents)
        ],
        "revisions": [{"at": _time(revision.at), "title": revision.title} for revision in reader.revisions(key)],
        "feeds": feeds,
    }


def _print_json(value: object) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _print_report(report: SyncReport) -> None:
    for name, source in report.sources.items():
        click.echo(
            f"{name}: {source.seen} seen, {source.new} new, {source.revised} revised, {source.merged} merged, "
            f"{source.unchanged} unchanged, {source.quarantined} quarantined, {source.failed} failed"
            + (f", {source.pending} still being written" if source.pending else "")
        )
        if source.error:
            click.echo(f"feedsync: {source.error}", err=True)
    would = "would be " if report.dry_run else ""
    click.echo(
        f"feeds: {report.feeds.written} {would}written, {report.feeds.unchanged} unchanged; {report.seconds:.2f} s"
    )
    for code in report.missing:
        click.echo(f"feedsync: no source has {code}", err=True)
    if any(source.quarantined for source in report.sources.values()):
        click.echo("feedsync: some documents were refused; `feedsync quarantine` says why", err=True)


def _progress() -> Any:
    """A progress bar on a terminal, nothing elsewhere."""
    from contextlib import contextmanager

    from feedsync.sync import Progress

    @contextmanager
    def bar() -> Any:
        if not sys.stderr.isatty():
            yield Progress()
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
        )
        from rich.progress import (
            Progress as Bar,
        )

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Bar(*columns, console=Console(stderr=True), transient=True) as drawn:
            task: list[Any] = []

            def start(what: str, total: int | None) -> None:
                task[:] = [drawn.add_task(what, total=total)]

            yield Progress(start, lambda count: drawn.advance(task[0], count) if task else None)

    return bar()


def _say_waiting(pid: str) -> None:
    click.echo(f"feedsync: waiting for the pass of process {pid} to end", err=True)


def _time(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def _clean(text: str) -> str:
    """Text from outside, harmless to a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
