"""A step reads the device a fixed number of times, however many objects there are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from torch.overrides import TorchFunctionMode

from worldsim.evaluation.scale_worlds import Plain, known_models
from worldsim.loop import WorldModel

_READS = {"item", "cpu", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__", "nonzero"}


class HostReads(TorchFunctionMode):
    """Counts what asks a tensor for its values on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _READS:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def reads(walkers: int, crates: int) -> Counter[str]:
    stream = Plain(walkers, crates, known_models(), np.random.default_rng(0)).frames()
    wm = WorldModel(models=known_models())
    wm.reset(next(stream))
    for _ in range(13):
        wm.step(next(stream))
    with HostReads() as counter:
        wm.step(next(stream))
    assert int(wm.belief.alive.sum()) == walkers + crates
    return counter.counts


def test_a_step_reads_no_value_an_object() -> None:
    few, many = reads(5, 5), reads(40, 40)
    assert few == many
    assert not {"item", "tolist", "__int__", "__float__"} & many.keys()
