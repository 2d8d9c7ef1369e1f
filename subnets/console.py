"""Where the commands print their results."""

from __future__ import annotations

import sys

from rich.console import Console

# Of tables that go to a file or another program.
PLAIN_WIDTH = 130


def open_console() -> Console:
    """Standard output: as wide as the terminal, or wide enough for a table where there is none."""
    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, soft_wrap=not sys.stdout.isatty())
