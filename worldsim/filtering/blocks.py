"""Blocks of rows, several side by side: large ones, for threads that share an interpreter wait for it in small ones."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Int

# for each element of a row: 5,120 rows of float32. Of 10,000 rows, halves take two thirds of the time of fifths
_BLOCK_BYTES = 20 * 1024

Part = TypeVar("Part")
Result = TypeVar("Result")


def each_block(rows: int, device: torch.device, dtype: torch.dtype, work: Callable[[slice], Result]) -> list[Result]:
    """Return what `work` makes of slices of about equal length that cover `rows`: on a CPU of a few thousand rows.

    On another device it is one slice, and so it is of no rows.

    What a block writes must be its own.
    """
    blocks = _blocks(rows, device, dtype)
    bounds = [rows * k // blocks for k in range(blocks + 1)]
    return side_by_side(work, [slice(a, b) for a, b in itertools.pairwise(bounds)])


def each_of(
    groups: Sequence[Int[np.ndarray, " n"]],
    device: torch.device,
    dtype: torch.dtype,
    work: Callable[[int, Int[np.ndarray, " m"]], object],
) -> None:
    """Call ``work(k, rows)`` for the rows of the k-th group, all of a group at once or, where it is long, in blocks.

    Groups are worked on side by side as blocks of one would be: where they are long enough all together. What a call
    writes must be its own.
    """
    parts = [
        (k, part) for k, rows in enumerate(groups) for part in np.array_split(rows, _blocks(len(rows), device, dtype))
    ]
    if _blocks(sum(map(len, groups)), device, dtype) > 1:
        parts.sort(key=lambda part: -len(part[1]))  # the longest first: the last one to end is then a short one
        side_by_side(lambda part: work(*part), parts)
    else:
        for part in parts:
            work(*part)


def _blocks(rows: int, device: torch.device, dtype: torch.dtype) -> int:
    """Return into how many blocks rows are split."""
    return max(-(-rows * dtype.itemsize // _BLOCK_BYTES), 1) if device.type == "cpu" else 1


def side_by_side(work: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Return the result of each part, in order.

    Where torch keeps each operation to one thread (``torch.set_num_threads(1)``), parts are worked on by as many
    threads as it grants to operations (``torch.get_num_interop_threads()``): operations on small matrices gain little
    from threads of their own. Parts that write nothing of each other's give the same result however many there are.
    """
    threads = min(torch.get_num_interop_threads(), len(parts))
    if threads < 2 or torch.get_num_threads() > 1:
        return [work(part) for part in parts]
    inference = torch.is_inference_mode_enabled()  # a property of the thread

    def alone(part: Part) -> Result:
        with torch.inference_mode(inference):
            return work(part)

    return list(_pool(threads, os.getpid()).map(alone, parts))


@functools.cache
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Return the threads of a process, which a step would else start anew several times; a fork has none of its own."""
    del process
    return ThreadPoolExecutor(threads, thread_name_prefix="worldsim-blocks")
