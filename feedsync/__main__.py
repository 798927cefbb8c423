"""`python -m feedsync`."""

from feedsync.cli import main

if __name__ == "__main__":
    main()
