"""How tables and sentences stand in a terminal: in its width, at least 80 columns. Files and pipes get 80, and no colours."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

NARROWEST = 80

# What a terminal takes for a command or for another direction of writing, and no one reads: all controls but line feeds and
# tabs, and the marks that turn the rest of a line round.
_UNSEEN = dict.fromkeys(
    [*range(9), *range(0xB, 0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], None
)


def width() -> int:
    """Columns that a line may take."""
    return max(NARROWEST, shutil.get_terminal_size().columns) if sys.stdout.isatty() else NARROWEST


def command() -> str:
    """How the command that runs can be typed again, as short as possible."""
    started = Path(sys.argv[0]).absolute()
    found = shutil.which("tierhouse")
    if started.name != "tierhouse" or (found and Path(found).absolute() == started):
        return "tierhouse"
    return min(os.path.relpath(started), str(started), key=len)


def printable(text: str) -> str:
    """The text without what would steer the terminal: names and values come from whoever wrote them into the source."""
    return text.translate(_UNSEEN)


def empty_table(*headings: str, words: Collection[int] = (0,), title: str = "") -> Table:
    """An empty table. words: places of the columns that hold words; they wrap where numbers, which stand right, do not."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        title=title or None,
        title_justify="left",
    )
    for place, heading in enumerate(headings):
        if place in words:
            # A long word without a space, as a name in Chinese, is folded, not cut.
            made.add_column(heading, overflow="fold")
        else:
            made.add_column(heading, justify="right", no_wrap=True)
    return made


def plain_text(*parts: RenderableType) -> str:
    """Tables and texts below each other, as plain text."""
    from rich.console import Console, Group

    buffer = io.StringIO()
    # What stands in cells is data: nothing in it is markup, and no variable of the environment colours it.
    console = Console(
        file=buffer, width=width(), force_terminal=False, color_system=None, markup=False, emoji=False, highlight=False
    )
    console.print(Group(*parts))
    return "\n".join(printable(line).rstrip() for line in buffer.getvalue().rstrip().splitlines())
