"""PyBullet without its greeting: it writes when it was built to standard error, whoever imports it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["bullet"]


@contextmanager
def _silenced() -> Iterator[None]:
    """Let nothing that is written to the process's standard error through."""
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, AttributeError):  # there is none
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


with _silenced():
    import pybullet as bullet
