"""What is asked of a registry, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    """

    extent_m: tuple[float, float, float] | None = None
    extent_std_m: tuple[float, float, float] | None = None
    appearance: tuple[float, ...] | None = None
    appearance_std: tuple[float, ...] | None = None
    motion: Mapping[str, float] = field(default_factory=dict)
    channel_share: Mapping[str, float] = field(default_factory=dict)
    kind: str | None = None
    exclude: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidates:
    """At most k model cards, nearest first, with their distances (squared, in standard deviations)."""

    cards: tuple[ModelCard, ...]
    distances: tuple[float, ...]

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.cards)
