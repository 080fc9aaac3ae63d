"""Lays the fields of an observation out in one block of memory, since an environment hands out a new one a step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from gymnasium import spaces
from jaxtyping import Float

__all__ = ["Packer"]


class Packer:
    """Puts named numbers into one-dimensional float32 boxes: converted, padded with zeros, clipped to the bounds.

    All fields of an observation share one new array, so that converting and clipping are one call each, and nothing
    that was handed out changes later.

    Attributes:
        slots: box name -> its first and last place in a block, the last one not included.
        size: numbers in all boxes together.
        low, high: [size] bounds.

    Example:
        >>> packer = Packer({"a": spaces.Box(-1.0, 1.0, (3,)), "b": spaces.Box(0.0, 9.0, (1,))})
        >>> packer.pack({"a": np.array([[0.5, 2.0]]), "b": np.array([7.0])})["a"].tolist()
        [0.5, 1.0, 0.0]
    """

    def __init__(self, boxes: Mapping[str, spaces.Box]) -> None:
        """Lay out `boxes` in their order; each is one-dimensional."""
        ends = np.cumsum([0, *(box.shape[0] for box in boxes.values())]).tolist()
        self.slots = {name: (ends[k], ends[k + 1]) for k, name in enumerate(boxes)}
        self._slices = [(name, slice(*slot)) for name, slot in self.slots.items()]
        self.size = int(ends[-1])
        self.low = np.concatenate([box.low for box in boxes.values()], dtype=np.float32)
        self.high = np.concatenate([box.high for box in boxes.values()], dtype=np.float32)

    def pack(self, fields: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return every box's field; what is shorter than its box is followed by zeros.

        Args:
            fields: box name -> numbers of any shape, at most as many as the box holds.
        """
        block = np.zeros(self.size, dtype=np.float32)
        for name, (start, _) in self.slots.items():
            values = fields[name]
            block[start : start + values.size] = values.ravel()
        return self.split(self.clip(block))

    def clip(self, block: Float[np.ndarray, " size"]) -> Float[np.ndarray, " size"]:
        """Bring one block into the bounds, in place; return it."""
        return np.minimum(np.maximum(block, self.low, out=block), self.high, out=block)

    def split(self, block: Float[np.ndarray, "*n size"]) -> dict[str, np.ndarray]:
        """Return the fields of one block, or of n at once, without a copy."""
        if block.ndim == 1:  # sooner than by an ellipsis, and asked for at every step
            return {name: block[slot] for name, slot in self._slices}
        return {name: block[..., start:end] for name, (start, end) in self.slots.items()}

    def join(self, fields: Mapping[str, np.ndarray], out: Float[np.ndarray, " size"]) -> None:
        """Write fields that were packed before back into one block."""
        parts = [fields[name] for name in self.slots]
        block = parts[0].base
        if isinstance(block, np.ndarray) and block.size == self.size and all(part.base is block for part in parts):
            out[:] = block  # as it was packed
        else:
            np.concatenate(parts, out=out)
