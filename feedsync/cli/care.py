"""The commands that keep it well: look, copy, put back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from feedsync.cli.terminal import load, print_json, printable, progress_bar, publisher_of, say_waiting
from feedsync.errors import UsageError

if TYPE_CHECKING:
    from feedsync.config import Config
    from feedsync.store import Store

_UNUSABLE, _NOT_WELL = 3, 1
_COPIES = (".db", ".bak", ".sqlite")


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


@click.command("withdraw")
@click.argument("code")
@click.option("--reason", default="", metavar="TEXT", help="Why; readers are told.")
@click.pass_obj
def withdraw_command(option: str | None, code: str, reason: str) -> int:
    """Take an article out of every feed, page and search, and keep it out.

    CODE is an infoCode with or without NW, a source URL, a file name or a key; an article that is yet to come may be
    withdrawn, too. Its page answers 410, Atom feeds tell of it, later copies do not bring it back. `feedsync restore
    CODE` does.

    \b
    feedsync withdraw NW202112222222765281 --reason 数据有误
    """
    from feedsync.store import Store
    from feedsync.text import one_line
    from feedsync.withdraw import withdraw

    loaded = load(option)
    with Store.open(loaded.store_url, say_waiting, one_pass=True) as store:
        key = _key(store, code)
        known = withdraw(store, publisher_of(loaded), key, one_line(reason), waiting=say_waiting)
    title = printable(known.article.title.text) if known else "not known yet; it will not be published when it comes"
    click.echo(f"withdrawn: {key} ({title})")
    return 0


@click.command("restore")
@click.argument("what", metavar="FILE|CODE")
@click.pass_obj
def restore_command(option: str | None, what: str) -> int:
    """Put the database back as it was in FILE, or bring back the withdrawn article CODE.

    FILE: the present database is kept beside it. Ids and feeds are as before; what came since the copy was made comes
    again from the sources. Refused while a daemon runs.

    CODE: the article returns under its old id. A file that exists, a name that ends in .db, .bak or .sqlite, or a path
    without an infoCode in it means FILE, all else CODE; write ./NAME to mean a file.

    \b
    feedsync restore /backup/feedsync-2026-03-01.db
    feedsync restore NW202112222222765281
    """
    loaded = load(option)
    if _means_file(what):
        _restore_database(loaded, Path(what))
    else:
        _restore_article(loaded, what)
    return 0


def _means_file(what: str) -> bool:
    """Whether a person means a file and not an article. Raises UsageError when it may be either."""
    from feedsync.parse import key_from_user

    key = key_from_user(what)
    coded = key is not None and not key.startswith("x-")
    if what.startswith(("/", "./", "../")):
        return True
    if Path(what).is_file():
        if coded and "/" not in what and not what.endswith(_COPIES):
            raise UsageError(
                f"{what!r} is a file here, and the name of an article",
                remedy=f"write ./{what} for the file, {key} in another folder for the article",
            )
        return True
    return what.endswith(_COPIES) or ("/" in what and "://" not in what and not coded)


def _restore_article(loaded: Config, code: str) -> None:
    from feedsync.store import Store
    from feedsync.withdraw import restore

    with Store.open(loaded.store_url, say_waiting, one_pass=True) as store:
        key = _key(store, code)
        if not restore(store, publisher_of(loaded), key, waiting=say_waiting):
            with store.reading() as reader:
                if not reader.existing([key]):
                    raise UsageError(
                        f"there is no article {code!r}, and no file of that name",
                        remedy="see `feedsync show CODE`; write ./NAME to mean a file",
                    )
            click.echo(f"{key} is not withdrawn")
            return
    click.echo(f"restored: {key}")


def _restore_database(loaded: Config, file: Path) -> None:
    from feedsync.store import Store, backup, database, exclusive
    from feedsync.sync import Request, run

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


def _key(store: Store, code: str) -> str:
    """The key of the article a person means, known or not."""
    from feedsync.parse import key_from_user

    with store.reading() as reader:
        key = reader.key_of_alias(code) or key_from_user(code)
    if key is None:
        raise UsageError(f"{code!r} is neither an infoCode nor a known URL", remedy="write it as NW202112222222765281")
    return key
