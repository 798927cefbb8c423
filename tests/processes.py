"""Processes of their own for what a process with threads cannot show."""

import subprocess
import sys
import textwrap
from pathlib import Path


def alone(script: str, *arguments: str, folder: Path) -> subprocess.Popen[str]:
    """A script in a process of its own, for this one may have threads."""
    path = folder / "script.py"
    path.write_text(textwrap.dedent(script), encoding="utf-8")
    command = [sys.executable, str(path), *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
