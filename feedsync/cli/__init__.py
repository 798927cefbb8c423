"""Commands and exit codes. The only reader of arguments and environment.

Results go to stdout, logs and progress to stderr. Exit codes: 0 done; 1 done, but something was refused or
could not be fetched; 2 usage or configuration; 3 the store, the output folder or the lock could not be used.
"""

from __future__ import annotations

import sys

import click

from feedsync import __version__
from feedsync.cli.care import backup_command, doctor_command, restore_command, withdraw_command
from feedsync.cli.passes import publish_command, resync_command, run_command
from feedsync.cli.queries import check_config_command, quarantine_command, show_command, status_command, why_command
from feedsync.cli.search import index_command, search_command
from feedsync.cli.streams import abandon, fill_standard_streams, flushed, remedy_of, say
from feedsync.cli.unpublished import unpublished_command
from feedsync.collector import relax_collector, retire_collector
from feedsync.errors import ConfigError, FeedsyncError

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


for _command in (
    run_command,
    resync_command,
    publish_command,
    status_command,
    quarantine_command,
    unpublished_command,
    show_command,
    why_command,
    search_command,
    index_command,
    check_config_command,
    doctor_command,
    backup_command,
    restore_command,
    withdraw_command,
):
    command.add_command(_command)


def main() -> None:
    """The `feedsync` command."""
    relax_collector()
    fill_standard_streams()
    code = _main()
    retire_collector()
    sys.exit(code if flushed() else code or 3)


def _main() -> int:
    try:
        result = command.main(prog_name="feedsync", standalone_mode=False)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort:
        say("feedsync: interrupted")
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    except ConfigError as error:
        for problem in error.problems:
            say(problem)
        say(f"feedsync: {error}")
        return error.exit_code
    except FeedsyncError as error:
        say(f"feedsync: {error}")
        return error.exit_code
    except BrokenPipeError:
        abandon(1)
        return 0
    except UnicodeEncodeError as error:
        say(f"feedsync: this locale cannot name {error.object!a} (set LC_ALL=C.UTF-8, or PYTHONUTF8=1)")
        return 2
    except (ImportError, OSError) as error:
        say(f"feedsync: {_refused(error)}")
        return 3
    return result if isinstance(result, int) else 0


def _refused(error: ImportError | OSError) -> str:
    """What the system would not do, and what to do about it."""
    if isinstance(error, ImportError):
        return f"a part of it cannot be loaded: {error} (let more files be open, `ulimit -n`, or install it anew)"
    place = f" {error.filename}" if error.filename else ""
    return f"the system refused{place}: {error.strerror or error} ({remedy_of(error)})"
