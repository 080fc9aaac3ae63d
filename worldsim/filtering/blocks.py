"""Blocks of rows: as many as stay in a core's cache while they are worked on, several blocks side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

_CACHED_BYTES = 8 * 1024  # for each element of a row: 1,024 rows of float64, whose covariances and products stay cached

Part = TypeVar("Part")
Result = TypeVar("Result")


def each_block(rows: int, device: torch.device, dtype: torch.dtype, work: Callable[[slice], None]) -> None:
    """Call `work` on slices that cover `rows`: of so many rows that a CPU works on each from its cache; else on all.

    What a block writes must be its own.
    """
    size = _CACHED_BYTES // dtype.itemsize if device.type == "cpu" else max(rows, 1)
    side_by_side(work, [slice(start, min(start + size, rows)) for start in range(0, rows, size)])


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

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(alone, parts))
