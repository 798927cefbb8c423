"""`python -m feedsync`."""

if __name__ == "__main__":  # worker processes import this module, too
    from feedsync.cli import main

    main()
