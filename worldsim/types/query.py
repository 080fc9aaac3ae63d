"""What is asked of a registry, and what comes back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from worldsim.errors import ConfigurationError
from worldsim.types.card import ModelCard


@dataclass(frozen=True, slots=True)
class Query:
    """What was seen of an object that no loaded model explains. Parts may be missing.

    Attributes:
        extent_m: mean of the seen full edge lengths; extent_std_m: their standard deviation.
        appearance: [A] mean descriptor; appearance_std: [A].
        motion: motion statistics by name, as in `worldsim.types.card.Descriptor.motion`.
        channel_share: share of the surprise by channel name; weighs the parts of the distance.
        kind: only models of this kind, any where None.
        exclude: model ids not wanted (already loaded).

    Raises:
        ConfigurationError: an edge is not a length, or another number is not finite; nothing is near to such.
    """

    extent_m: tuple[float, float, float] | None = None
    extent_std_m: tuple[float, float, float] | None = None
    appearance: tuple[float, ...] | None = None
    appearance_std: tuple[float, ...] | None = None
    motion: Mapping[str, float] = field(default_factory=dict)
    channel_share: Mapping[str, float] = field(default_factory=dict)
    kind: str | None = None
    exclude: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Look whether the numbers can be compared with a card's."""
        if self.extent_m is not None and not all(0.0 < edge < math.inf for edge in self.extent_m):
            raise ConfigurationError(f"query: extent_m is {self.extent_m}, expected three finite lengths > 0 (m).")
        for name in ("extent_std_m", "appearance", "appearance_std"):
            _finite(name, getattr(self, name) or ())
        for name, value in self.motion.items():
            _finite(f"motion {name!r}", (value,))


@dataclass(frozen=True, slots=True)
class Candidates:
    """At most k model cards, nearest first, with their distances (squared, in standard deviations)."""

    cards: tuple[ModelCard, ...]
    distances: tuple[float, ...]

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.cards)


def _finite(name: str, values: tuple[float, ...]) -> None:
    if not all(map(math.isfinite, values)):
        raise ConfigurationError(f"query: {name} is {values}, expected finite numbers.")
