"""feedsync turns a stream of article files into feeds people can trust."""

__version__ = "0.1.0"
