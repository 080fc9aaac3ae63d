"""A fake GPU: every tensor on `cuda`, none of it real, and indexing that does not look for the device.

`FakeTensorMode` carries shapes, dtypes and devices only; an operation that mixes devices, or that wants a value on the
host, raises. Python's own tensor indexing asks for the device all the same, which a CPU build of torch has not got, so
it is spelt out here in the operators that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

CUDA = torch.device("cuda:0")


class _NoDevice(FakeTensorMode):
    """Never looks for the device, even where another kind of device was registered in this process (torch's rule)."""

    @property
    def avoid_device_init(self) -> bool:
        """Whether constants stay off the device."""
        return True


@contextmanager
def fake_gpu() -> Iterator[torch.device]:
    """Make tensors on the device that is yielded, and compute with them."""
    with _NoDevice(), _PlainIndexing():
        yield CUDA


_SPELT_OUT: dict[str, Callable[..., Any]] = {
    "contiguous": torch.ops.aten.contiguous,
    "copy_": torch.ops.aten.copy_,
    "__invert__": torch.ops.aten.bitwise_not,
    **dict.fromkeys(("item", "__float__", "__int__", "__bool__", "__index__"), torch.ops.aten._local_scalar_dense),
}


class _PlainIndexing(TorchFunctionMode):
    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        name = getattr(function, "__name__", "")
        if name == "__getitem__":
            return _taken(args[0], args[1])
        if name == "__setitem__":
            view = _taken(args[0], args[1], view=True)
            return torch.ops.aten.copy_(view, args[2]) if isinstance(args[2], Tensor) else view.fill_(args[2])
        if name in _SPELT_OUT:
            return _SPELT_OUT[name](*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _taken(tensor: Tensor, index: Any, *, view: bool = False) -> Tensor:
    index = index if isinstance(index, tuple) else (index,)
    named = sum(i is not None and i is not Ellipsis for i in index)
    at, gathered = 0, {}
    for i in index:
        if i is Ellipsis:
            at += tensor.dim() - at - sum(j is not None for j in index[index.index(Ellipsis) + 1 :])
        elif i is None:
            tensor, at = tensor.unsqueeze(at), at + 1
        elif isinstance(i, slice):
            tensor, at = torch.ops.aten.slice(tensor, at, i.start, i.stop, i.step or 1), at + 1
        elif isinstance(i, int):
            tensor = tensor.select(at, i)
        elif isinstance(i, Tensor):
            gathered[at], at = i, at + 1
        else:
            raise NotImplementedError(f"index {i!r} of {named}")
    if not gathered:
        return tensor
    if view:
        raise NotImplementedError("assignment through an index tensor copies on the host: use index_copy")
    where = [gathered.get(dim) for dim in range(max(gathered) + 1)]
    return torch.ops.aten.index(tensor, where)
