"""What a person sees while a refresh runs: one line per step on a terminal, nothing where nobody looks."""

from __future__ import annotations

import sys
import time
from typing import Any

_started: dict[str, float] = {}
_counts: dict[str, int] = {}


def report(step: str, event: Any = None) -> None:
    """Count one finished node of `step` and show the count, when standard error is a terminal."""
    _started.setdefault(step, time.monotonic())
    _counts[step] = _counts.get(step, 0) + (event is not None)
    if sys.stderr.isatty():
        seconds = time.monotonic() - _started[step]
        print(f"\r\033[K  {step}: {_counts[step]} done, {seconds:.0f} s", end="", file=sys.stderr, flush=True)


def finish() -> None:
    """Clear the progress line and forget the counts."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    _started.clear()
    _counts.clear()
