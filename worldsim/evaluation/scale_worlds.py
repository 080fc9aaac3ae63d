"""Made-up worlds of any size for benchmarks of speed: walkers among crates, as detections without ids."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from worldsim.contracts.object_model import ObjectModel
from worldsim.engine.state import STARTER_TAG
from worldsim.registry import open_registry
from worldsim.types.card import ModelCard
from worldsim.types.observation import Detections, Observation, Viewpoints

__all__ = ["FRAME_S", "Plain", "known_models"]

FRAME_S = 0.05
_SPACING_M = 3.0
_SPEED_M_S = (0.6, 1.6)
_POSITION_STD_M, _ROTATION_STD_RAD, _SIZE_STD, _LOOK_STD = 0.01, 0.016, 0.02, 0.04
_CAMERA_M, _RANGE_M = 6.0, 1e5


def known_models() -> list[ObjectModel]:
    """Return the models that a new world model loads: one of each kind of the warehouse, and the broad one."""
    with open_registry("builtin") as registry:
        return [registry.fetch(card.model_id) for card in registry.cards(STARTER_TAG)]


class Plain:
    """A square plain on which walkers go straight on, turning back at its edge, and crates lie."""

    def __init__(self, walkers: int, crates: int, models: Sequence[ObjectModel], rng: np.random.Generator) -> None:
        """Place everything at random, a few metres apart.

        Args:
            walkers: that never stop.
            crates: that never move.
            models: among which are cards of the kinds ``worker`` and ``crate``.
            rng: of places, paces and noise.
        """
        cards = {m.card.kind: m.card for m in models}
        count = walkers + crates
        self.side_m = _SPACING_M * math.ceil(math.sqrt(count))
        self.rng = rng
        walker, crate = cards["worker"], cards["crate"]
        self.kind: Int[np.ndarray, " N"] = np.repeat([0, 1], [walkers, crates])
        self.extent = np.array([walker.shape.extent_m, crate.shape.extent_m])[self.kind]
        self.look = np.stack([_look(walker), _look(crate)])[self.kind]
        cells = rng.permutation(math.ceil(math.sqrt(count)) ** 2)[:count]
        grid = np.stack(np.divmod(cells, math.ceil(math.sqrt(count))), axis=1) * _SPACING_M
        place = grid + rng.uniform(0.0, 0.4 * _SPACING_M, (count, 2))
        self.position: Float[np.ndarray, "N 3"] = np.column_stack([place, 0.5 * self.extent[:, 2]])
        heading, pace = rng.uniform(0.0, 2.0 * math.pi, count), rng.uniform(*_SPEED_M_S, count)
        going = np.where(self.kind == 0, pace, 0.0)
        self.velocity = np.column_stack([going * np.cos(heading), going * np.sin(heading), np.zeros(count)])

    def __len__(self) -> int:
        """Return the number of things N."""
        return len(self.kind)

    def frames(self) -> Iterator[Observation]:
        """Yield observations without end, each in an order of its own."""
        frame = 0
        while True:
            yield self._observed(frame * FRAME_S)
            self.position = self.position + FRAME_S * self.velocity
            beyond = (self.position < 0.0) | (self.position > self.side_m)
            self.velocity = np.where(beyond & (self.velocity * (self.position - 0.5 * self.side_m) > 0.0),
                                     -self.velocity, self.velocity)  # fmt: skip
            frame += 1

    def _observed(self, time_s: float) -> Observation:
        n, rng = len(self), self.rng
        order = rng.permutation(n)
        turn = np.concatenate([0.5 * _ROTATION_STD_RAD * rng.standard_normal((n, 3)), np.ones((n, 1))], axis=1)
        diagonal = [_POSITION_STD_M**2] * 3 + [_ROTATION_STD_RAD**2] * 3
        seen = Detections(
            self.position + _POSITION_STD_M * rng.standard_normal((n, 3)),
            turn / np.linalg.norm(turn, axis=1, keepdims=True),
            self.extent * np.exp(_SIZE_STD * rng.standard_normal((n, 3))),
            np.full((n, 3), 0.5),
            self.look + _LOOK_STD * rng.standard_normal(self.look.shape),
            np.tile(np.diag(diagonal), (n, 1, 1)),
        )
        middle = 0.5 * self.side_m
        above = Viewpoints(np.array([[middle, middle, _CAMERA_M]]), np.array([_RANGE_M]))
        return Observation(time_s, seen.select(order), above, None)


def _look(card: ModelCard) -> Float[np.ndarray, " A"]:
    assert card.descriptor.appearance is not None
    return np.array(card.descriptor.appearance)
