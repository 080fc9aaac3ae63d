"""Blocks of rows: as many as stay in a core's cache while they are worked on, several blocks side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_CACHED_BYTES = 8 * 1024  # for each element of a row: 1,024 rows of float64, whose covariances and products stay cached


def each_block(rows: int, device: torch.device, dtype: torch.dtype, work: Callable[[slice], None]) -> None:
    """Call `work` on slices that cover `rows`: of so many rows that a CPU works on each from its cache; else on all.

    Where torch keeps each operation to one thread (``torch.set_num_threads(1)``), blocks are worked on side by side by
    as many threads as it grants to operations (``torch.get_num_interop_threads()``): operations on small matrices gain
    little from threads of their own. What a block writes is its own, so the result does not depend on it.
    """
    size = _CACHED_BYTES // dtype.itemsize if device.type == "cpu" else max(rows, 1)
    parts = [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
    threads = min(torch.get_num_interop_threads(), len(parts))
    if threads < 2 or device.type != "cpu" or torch.get_num_threads() > 1:
        for part in parts:
            work(part)
        return
    inference = torch.is_inference_mode_enabled()  # a property of the thread

    def alone(part: slice) -> None:
        with torch.inference_mode(inference):
            work(part)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(alone, part) for part in parts]:
            done.result()
