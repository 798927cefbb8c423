"""Kill feedsync at every moment and look at what is left.

`python -m tests.crash` (`make crash`) runs everything; `tests/crash/test_crash.py` a short form of it.
"""
