"""A device that is not the host, emulated on the host: real values, and every rule of a device of its own.

A tensor on it is a wrapper that says it lies on `DEVICE`; what it holds is computed by the CPU. As on a GPU, an
operation that mixes it with a tensor of the host raises, and reading a value is a transfer, of which each is counted.
Unlike fake tensors it runs whole programs: what is decided on the host is decided on the true values.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
import torch._dynamo  # torch imports it at the first operation under a mode, where it would meet our generators
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

DEVICE = torch.device("meta")
"""Of the kinds of device that any build of torch knows, the one whose tensors no computation here makes by itself."""

_aten = torch.ops.aten
_READS_A_VALUE = {
    _aten._local_scalar_dense.default,
    _aten.nonzero.default,
    _aten.masked_select.default,
    _aten.equal.default,
    _aten.unique_dim.default,
    _aten._unique2.default,
    _aten.repeat_interleave.Tensor,
}
"""Operators whose result, or the shape of it, the host waits for."""
_CROSSES = {_aten._to_copy.default, _aten.copy_.default}
_TAKES_HOST_INDEX = {_aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default}
"""Torch takes an index from the host to the device by itself: a transfer."""


class OnDevice(Tensor):
    """A tensor on the device; what it holds lies on the host."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        """Wrap what is held."""
        made: OnDevice = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            layout=held.layout, device=DEVICE, requires_grad=False,
        )  # fmt: skip
        made.held = held
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        """Return what is held, without counting it as a transfer."""
        del tensor_contents
        return f"OnDevice({self.held})"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Refuse: outside `emulated_device` nothing may be computed."""
        del types, args, kwargs
        raise RuntimeError(f"{function}: a tensor of the emulated device outside of it.")


@dataclass
class Traffic:
    """What went between host and device.

    Attributes:
        to_host, to_device: transfers by the place in the code that asked for them (file:line).
    """

    to_host: Counter[str] = field(default_factory=Counter)
    to_device: Counter[str] = field(default_factory=Counter)

    def clear(self) -> None:
        """Forget what was counted."""
        self.to_host.clear()
        self.to_device.clear()


@contextmanager
def emulated_device() -> Iterator[Traffic]:
    """Let `DEVICE` compute; what crosses to it and from it is counted in what is yielded."""
    traffic = Traffic()
    generators = mock.patch.object(torch, "Generator", _generator)  # torch would ask for the device's own
    with generators, torch.inference_mode(), _Operators(traffic), _Constructors(traffic):
        yield traffic


class _Operators(TorchDispatchMode):
    """Computes on what the device's tensors hold, by its rules."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__()
        self.traffic = traffic

    def __torch_dispatch__(
        self, function: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        given: list[Tensor] = []
        tree_map(lambda x: given.append(x) if isinstance(x, Tensor) else None, (args, kwargs))
        here = any(isinstance(x, OnDevice) for x in given)
        asked = kwargs.get("device", next((x for x in args if isinstance(x, torch.device)), None))
        there = torch.device(asked).type == DEVICE.type if asked is not None else None
        if not here and not there:
            return function(*args, **kwargs)
        with self:  # without autograd torch hands over what is made of other operators: those are counted
            parts = function.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        self._count(function, given, args, here, there)
        if there is not None:
            kwargs["device"] = torch.device("cpu")
        out = function(*tree_map(_held, tuple(args)), **tree_map(_held, kwargs))
        if there is False or (function is _aten.copy_.default and not isinstance(args[0], OnDevice)):
            return out.clone() if function is _aten._to_copy.default else out  # now on the host
        same = {id(x.held): x for x in given if isinstance(x, OnDevice)}  # what was worked on in place stays itself
        return tree_map(lambda x: same.get(id(x), OnDevice(x)) if isinstance(x, Tensor) else x, out)

    def _count(self, function: Any, given: list[Tensor], args: Sequence[Any], here: bool, there: bool | None) -> None:
        stray = [x for x in given if not isinstance(x, OnDevice) and x.dim() > 0]
        if function in _CROSSES:
            if function is _aten.copy_.default:
                crossing = isinstance(args[0], OnDevice) != isinstance(args[1], OnDevice)
                to_host = crossing and not isinstance(args[0], OnDevice)
            else:
                crossing, to_host = there is not None and there != here, not there
            if crossing:
                (self.traffic.to_host if to_host else self.traffic.to_device)[_asked_at()] += 1
        elif function in _TAKES_HOST_INDEX and stray and isinstance(args[0], OnDevice):
            self.traffic.to_device[_asked_at()] += 1
        elif here and stray:
            raise RuntimeError(
                f"{function}: expected all tensors to be on the same device, found {DEVICE} and cpu at {_asked_at()}."
            )
        masked = function in _TAKES_HOST_INDEX and any(x.dtype == torch.bool for x in given[1:])
        if masked or function in _READS_A_VALUE:
            self.traffic.to_host[_asked_at()] += 1


class _Constructors(TorchFunctionMode):
    """Makes tensors of numbers on the host first: torch would make them on `DEVICE`, where they hold nothing."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__()
        self.traffic = traffic

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        kwargs = dict(kwargs or {})
        if function in (torch.tensor, torch.as_tensor):
            if isinstance(args[0], Tensor) and function is torch.as_tensor:
                return args[0].to(**kwargs) if kwargs else args[0]
            device = kwargs.pop("device", None)
            made = function(*args, **kwargs)
            return made if device is None else made.to(device)
        if function is Tensor.new_tensor:
            return torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype)).to(args[0].device)
        if function is Tensor.tolist and isinstance(args[0], OnDevice):
            self.traffic.to_host[_asked_at()] += 1
            return args[0].held.tolist()
        return function(*args, **kwargs)


_HostGenerator = torch.Generator


def _generator(device: torch.device | str = "cpu") -> torch.Generator:
    return _HostGenerator("cpu" if torch.device(device).type == DEVICE.type else device)


def _held(x: Any) -> Any:
    return x.held if isinstance(x, OnDevice) else x


_OF_TRANSFERS = ("emulated_device.py", "types/transfer.py", "engine/state.py")


def _asked_at() -> str:
    """Return file and line of the project that asked for the operation."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if "/torch/" not in name and not name.endswith(_OF_TRANSFERS):
            return f"{'/'.join(name.split('/')[-2:])}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "?"
