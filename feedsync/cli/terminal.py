"""What the commands share: the configuration they are given, and how they speak."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from datetime import datetime

    from feedsync.config import Config
    from feedsync.publish import Publisher


def load(option: str | None) -> Config:
    from feedsync import config

    return config.load(config.find(option))


def publisher_of(loaded: Config) -> Publisher:
    from feedsync.outputs import Tree
    from feedsync.publish import Publisher

    return Publisher(Tree(loaded.output), loaded.presentation)


def print_json(value: object) -> None:
    """One JSON document, which is ASCII where the stream's encoding has less than Unicode."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    click.echo(json.dumps(value, ensure_ascii=not encoding.lower().startswith("utf"), indent=2))


def progress_bar() -> Any:
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


def say_waiting(pid: str) -> None:
    click.echo(f"feedsync: waiting for the pass of process {pid} to end", err=True)


def told_time(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


def printable(text: str) -> str:
    """Text from outside, harmless to a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
