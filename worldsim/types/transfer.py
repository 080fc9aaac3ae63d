"""Between host and device: several tensors or arrays in one transfer, since each waits for all that was asked before.

On the host's own device nothing is copied.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from worldsim.errors import ConfigurationError

__all__ = ["fetched", "sent", "usable_device"]


def fetched(*tensors: Tensor) -> tuple[Shaped[np.ndarray, "..."], ...]:
    """Return the tensors, all of one device, as arrays of the same dtypes and shapes on the host.

    From a CPU they share the tensors' memory: who writes into one writes into the tensor.

    Example:
        >>> [array.tolist() for array in fetched(torch.ones(2), torch.tensor(True))]
        [[1.0, 1.0], True]
    """
    if not tensors or tensors[0].device.type == "cpu":
        return tuple([(t.detach() if t.requires_grad else t).numpy() for t in tensors])  # detaching is an operation
    order = sorted(range(len(tensors)), key=lambda i: -tensors[i].itemsize)  # wide ones first: none lies askew
    raw = [tensors[i].detach().contiguous().reshape(-1).view(torch.uint8) for i in order]
    bounds = list(itertools.accumulate((len(part) for part in raw), initial=0))
    packed = torch.cat(raw).cpu().numpy()
    found: dict[int, np.ndarray] = {}
    for i, (start, end) in zip(order, itertools.pairwise(bounds), strict=True):
        dtype = torch.empty(0, dtype=tensors[i].dtype).numpy().dtype
        found[i] = packed[start:end].view(dtype).reshape(tuple(tensors[i].shape))
    return tuple(found[i] for i in range(len(tensors)))


def sent(device: torch.device, dtype: torch.dtype, *arrays: Shaped[np.ndarray, "..."]) -> tuple[Tensor, ...]:
    """Return the arrays as tensors of one dtype on a device.

    On a CPU they may share the arrays' memory.
    """
    on_host = [torch.from_numpy(np.asarray(array, order="C")).to(dtype) for array in arrays]
    if device.type == "cpu" or not arrays:
        return tuple(on_host)
    packed = torch.cat([tensor.reshape(-1) for tensor in on_host]).to(device)
    parts = packed.split([tensor.numel() for tensor in on_host])
    return tuple(part.reshape(tensor.shape) for part, tensor in zip(parts, on_host, strict=True))


def usable_device(name: str | torch.device) -> torch.device:
    """Return the device of that name.

    Raises:
        ConfigurationError: torch knows none, or has none here.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # what builds of torch say of one they lack
        reason = str(error).splitlines()[0].rstrip(".")
        raise ConfigurationError(f"no device {str(name)!r} here: {reason}. device='cpu' is everywhere.") from error
    return device
