"""Worker processes that do not outlive who started them."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import Executor, ProcessPoolExecutor

__all__ = ["spawned_workers"]

_ORPHANED = 1


def spawned_workers(processes: int) -> Executor:
    """Return a pool of processes that end with their parent; spawned, since a physics engine does not survive a fork.

    A pool tidies up when it is closed; a parent that is killed closes nothing, and what its workers go on computing
    would spoil whatever is timed next.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(max_workers=processes, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(_ORPHANED)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
