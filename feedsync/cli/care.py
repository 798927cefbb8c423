"""The commands that keep it well: look, copy, put back."""

from __future__ import annotations

from pathlib import Path

import click

from feedsync.cli.terminal import load, print_json, printable, progress_bar, publisher_of, say_waiting

_UNUSABLE, _NOT_WELL = 3, 1


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_obj
def doctor_command(option: str | None, as_json: bool) -> int:
    """Look at everything feedsync stands on, and say what to do about what is not well.

    Database, tree, sources, disk, clock, versions, processes. Writes nothing; safe beside a running daemon. Exit code
    0: all is well; 1: there is something to do; 3: the database cannot be used.

    \b
    feedsync doctor
    feedsync doctor --json
    """
    from feedsync import doctor
    from feedsync.doctor import Level

    findings = list(doctor.examine(load(option)))
    levels = {finding.level for finding in findings}
    if as_json:
        told = [{"check": f.check, "level": f.level, "message": f.message, "remedy": f.remedy} for f in findings]
        print_json({"well": not levels & {Level.WARNING, Level.PROBLEM, Level.UNUSABLE}, "findings": told})
    else:
        for finding in findings:
            click.echo(f"{finding.level:8} {finding.check}: {printable(finding.message)}")
            if finding.remedy:
                click.echo(f"         what to do: {printable(finding.remedy)}")
    if Level.UNUSABLE in levels:
        return _UNUSABLE
    return _NOT_WELL if levels & {Level.WARNING, Level.PROBLEM} else 0


@click.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.pass_obj
def backup_command(option: str | None, file: Path, force: bool) -> int:
    """Copy the database to FILE as it is at one moment, and check the copy.

    Safe beside a running daemon. FILE is complete and durable, or not there at all.

    \b
    feedsync backup /backup/feedsync-2026-03-01.db
    """
    from feedsync.store import backup, database

    size = backup.back_up(database.path_of(load(option).store_url), file, force=force)
    click.echo(f"{file}: {size} bytes, checked")
    return 0


@click.command("restore")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def restore_command(option: str | None, file: Path) -> int:
    """Put the database back as it was in FILE, then run a pass and publish.

    The present database is kept beside it. Ids and feeds are as before; what came since the copy was made comes again
    from the sources. Refused while a daemon runs.

    \b
    feedsync restore /backup/feedsync-2026-03-01.db
    """
    from feedsync.store import Store, backup, database, exclusive
    from feedsync.sync import Request, run

    loaded = load(option)
    path = database.path_of(loaded.store_url)
    with exclusive(Store.daemon_lock_path(path), timeout_s=0):
        with exclusive(Store.lock_path(path), timeout_s=60, waiting=say_waiting):
            aside = backup.put_back(file, path)
        if aside:
            click.echo(f"the database that was there is now {aside}")
        with Store.open(loaded.store_url, say_waiting, one_pass=True) as store, progress_bar() as progress:
            store.forget_publishing()
            report = run(store, publisher_of(loaded), loaded.sources, Request(), progress=progress)
    click.echo(f"restored from {file}; feeds: {report.feeds.written} written, {report.feeds.unchanged} unchanged")
    return 0
