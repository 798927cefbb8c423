"""The HTTP server's process: `python -m feedsync.web OPTIONS`. Started by `feedsync.server`."""

import signal
import sys

from feedsync import log
from feedsync.web.server import main

if __name__ == "__main__":
    # A signal to the whole group is for the daemon; it ends our standard input when it is time.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    log.configure()
    main(sys.argv[1])
