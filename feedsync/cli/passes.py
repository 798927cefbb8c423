"""The commands that work: the daemon, a pass, publishing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from feedsync.cli.terminal import load, print_json, progress_bar, publisher_of, say_waiting, told_time
from feedsync.errors import UsageError

_INDEX_AT_MOST = 256
_MUCH = 2000
"""After so many articles, a few of them in the index would help no search."""

_FAULTS = 10
"""So many URLs that failed are told of each source."""

if TYPE_CHECKING:
    from feedsync.config import Config
    from feedsync.report import SyncReport
    from feedsync.workers import Workers


@click.command("run")
@click.pass_obj
def run_command(option: str | None) -> None:
    """Run the daemon: scheduler, watcher and HTTP server.

    SIGTERM and SIGINT stop it cleanly, SIGHUP reloads the configuration.

    \b
    feedsync run
    feedsync --config /etc/feedsync/feedsync.toml run
    """
    from feedsync import config, daemon
    from feedsync.allocator import keep_freed_memory

    keep_freed_memory()
    path = config.find(option)
    daemon.serve(config.load(path), lambda: config.load(path))


@click.command("resync")
@click.argument("sources", metavar="[SOURCE]...", nargs=-1)
@click.option(
    "--info-code", "codes", metavar="CODE", multiple=True, help="Re-read, or re-fetch, just this article (repeatable)."
)
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
    """Bring everything up to date: ingest, fetch, publish what changed.

    Reads all sources, or those named. What failed is fetched again when it is due; --full and --info-code
    ask at once. Safe beside a running daemon.

    \b
    feedsync resync
    feedsync resync articles --full
    feedsync resync --info-code NW202112222222765281
    feedsync resync --dry-run --json
    """
    from contextlib import ExitStack

    from feedsync.allocator import keep_freed_memory
    from feedsync.workers import Workers

    keep_freed_memory()
    loaded = load(option)
    chosen = _choose(loaded, sources)
    _check_codes(codes)
    with ExitStack() as stack:
        workers = stack.enter_context(Workers("feedsync.load", "feedsync.shares"))
        unpublished = not (loaded.output / "all.atom").exists()
        # Everything will be read. Processes are started before anything is open.
        much = (full or unpublished) and _is_much(loaded, chosen, None if full or codes else workers)
        from feedsync.sync import Request, run

        publisher = publisher_of(loaded)
        if much:
            workers.fork()
        store = _open_for_pass(loaded, stack, dry_run=dry_run)
        progress = stack.enter_context(progress_bar())
        report = run(
            store,
            publisher,
            chosen,
            Request(full=full, dry_run=dry_run, codes=codes),
            progress=progress,
            waiting=say_waiting,
            workers=workers,
        )
        taken = sum(source.new + source.revised + source.merged for source in report.sources.values())
        if 0 < taken < _MUCH and not dry_run:
            # So that a pass stays short; a daemon or `feedsync index` does the rest.
            store.index_some(_INDEX_AT_MOST)
    if as_json:
        print_json(report.to_json())
    else:
        _print_report(report)
    return 0 if report.clean else 1


@click.command("publish")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the tree differs from the store.")
@click.option("--force", is_flag=True, help="Drop what is published and unknown to the store.")
@click.pass_obj
def publish_command(option: str | None, check: bool, force: bool) -> int:
    """Draw everything from the store alone.

    \b
    feedsync publish
    feedsync publish --check
    """
    from feedsync.allocator import keep_freed_memory
    from feedsync.store import Store
    from feedsync.workers import Workers

    keep_freed_memory()
    loaded = load(option)
    publisher = publisher_of(loaded)
    if check:
        with Store.open_readonly(loaded.store_url) as store:
            different = list(publisher.audit.differences(store))
        for path in different:
            click.echo(path)
        return 1 if different else 0
    with (
        Store.open(loaded.store_url, say_waiting, one_pass=True) as store,
        store.lock(say_waiting),
        progress_bar() as progress,
        Workers("feedsync.shares") as workers,
    ):
        publisher.tree.sweep()
        report = publisher.publish(store, everything=True, force=force, workers=workers, progress=progress.step)
    click.echo(f"feeds: {report.written} written, {report.unchanged} unchanged; pages: {report.pages} written")
    return 0


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


def _is_much(loaded: Config, sources: list[Any], workers: Workers | None) -> bool:
    """Whether a source holds many files. `workers` begin to read them while this process imports what storing needs."""
    from zoneinfo import ZoneInfo

    from feedsync.load import first_files, is_much, load_ahead
    from feedsync.sources import FileSource

    for source in sources:
        if isinstance(source, FileSource) and is_much(found := first_files(source)):
            if workers:
                workers.begin(source.name, load_ahead(source, ZoneInfo(loaded.presentation.site.timezone), found))
            return True
    return False


def _open_for_pass(loaded: Config, stack: Any, *, dry_run: bool) -> Any:
    """The store for a pass; a dry run of a store that does not exist yet gets one that is gone afterwards."""
    from feedsync.store import Store

    if dry_run and not Store.exists(loaded.store_url):
        return stack.enter_context(Store.scratch())
    return stack.enter_context(Store.open(loaded.store_url, say_waiting, one_pass=True))


def _print_report(report: SyncReport) -> None:
    for name, source in report.sources.items():
        click.echo(
            f"{name}: {source.seen} seen, {source.new} new, {source.revised} revised, {source.merged} merged, "
            f"{source.unchanged} unchanged, {source.quarantined} quarantined, {source.failed} failed"
            + (f", {source.pending} still being written" if source.pending else "")
        )
        if source.error:
            click.echo(f"feedsync: {source.error}", err=True)
        for fault in source.faults[:_FAULTS]:
            click.echo(f"feedsync: {fault.url}: {fault.reason}; next try {told_time(fault.due)}", err=True)
        if len(source.faults) > _FAULTS:
            click.echo(f"feedsync: ... and {len(source.faults) - _FAULTS} more; --json has them all", err=True)
    would = "would be " if report.dry_run else ""
    click.echo(
        f"feeds: {report.feeds.written} {would}written, {report.feeds.unchanged} unchanged; {report.seconds:.2f} s"
    )
    for code in report.missing:
        click.echo(f"feedsync: no source has {code}", err=True)
    if any(source.quarantined for source in report.sources.values()):
        click.echo("feedsync: some documents were refused; `feedsync quarantine` says why", err=True)
