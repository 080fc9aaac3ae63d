"""Instances of known kinds that no registry has seen, as a world model sees them for half a second.

An instance is drawn around a card, by the card's own spreads; it moves on the floor as the card says that its kind
does. The simulator's detector looks at it (misses, noise, clutter), the world model tracks it by what it has loaded,
and says what it would ask a registry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from worldsim.contracts.object_model import ObjectModel
from worldsim.loop import WorldModel
from worldsim.simulation.sensors import Detector
from worldsim.types.card import ModelCard
from worldsim.types.observation import APPEARANCE_DIM, Viewpoints
from worldsim.types.query import Query
from worldsim.types.truth import WorldTruth

__all__ = ["SEEN_S", "Instance", "Sighting", "draw_instance", "sightings", "without"]

SEEN_S = 0.5
"""How long each instance is seen."""

_DT_S = 0.05
_IN_ONE_SCENE = 30
_PITCH_M = 14.0  # between two instances: none is near another
_CAMERA_ABOVE_M = 4.0
_RANGE_M = 40.0
_FOUND_WITHIN_M = 1.0


@dataclass(frozen=True, slots=True)
class Instance:
    """One thing: of which card it is an instance, and what is its own.

    Attributes:
        card: what it was drawn around.
        extent_m: [3] full edges; appearance: [A].
        speed_m_s, acceleration_m_s2, turn_rate_rad_s: of its motion on the floor during the half second.
        heading_rad: at first.
    """

    card: ModelCard
    extent_m: Float[np.ndarray, " 3"]
    appearance: Float[np.ndarray, " A"]
    speed_m_s: float
    acceleration_m_s2: float
    turn_rate_rad_s: float
    heading_rad: float


@dataclass(frozen=True, slots=True)
class Sighting:
    """An instance, and what the world model would ask about it; None where it does not track it."""

    instance: Instance
    query: Query | None


def draw_instance(card: ModelCard, rng: np.random.Generator) -> Instance:
    """Return an instance of `card`, which must have a look: size, look and motion differ as the card says."""
    extent = np.asarray(card.shape.extent_m) + np.asarray(card.shape.extent_std_m) * rng.standard_normal(3)
    if card.shape.kind in ("sphere", "cylinder"):
        extent[1] = extent[0]  # round things stay round
    if card.shape.kind == "sphere":
        extent[2] = extent[0]
    assert card.descriptor.appearance is not None
    spread = np.asarray(card.descriptor.appearance_std or np.zeros(APPEARANCE_DIM))
    look = np.asarray(card.descriptor.appearance) + spread * rng.standard_normal(APPEARANCE_DIM)
    motion = card.descriptor.motion
    moving = rng.random() >= motion.get("still_share", 0.0)
    mean, top = motion.get("speed_mean", 0.0), motion.get("speed_max", 0.0)
    return Instance(
        card,
        np.maximum(extent, 0.3 * np.asarray(card.shape.extent_m)),
        look,
        moving * float(rng.uniform(min(mean, 0.5 * top), top)),
        moving * motion.get("acceleration_rms", 0.0) * float(rng.standard_normal()),
        moving * motion.get("turn_rate_rms", 0.0) * float(rng.standard_normal()),
        float(rng.uniform(-np.pi, np.pi)),
    )


def sightings(
    cards: Sequence[ModelCard], models: Sequence[ObjectModel], rng: np.random.Generator
) -> Iterator[Sighting]:
    """Yield one sighting of an instance of each card, in order.

    Args:
        cards: what is met; each has a look.
        models: what the world model has loaded; it can ask nobody for more.
        rng: draws the instances and the detector's noise.
    """
    for start in range(0, len(cards), _IN_ONE_SCENE):
        instances = [draw_instance(card, rng) for card in cards[start : start + _IN_ONE_SCENE]]
        world_model = WorldModel(models=models, device="cpu", seed=int(rng.integers(2**31)))
        detector = Detector()
        frames = round(SEEN_S / _DT_S)
        world_model.reset(detector.observe(_truth(instances, 0.0), rng))
        for frame in range(1, frames + 1):
            world_model.step(detector.observe(_truth(instances, frame * _DT_S), rng))
        truth = _truth(instances, frames * _DT_S)
        for instance, position in zip(instances, truth.position, strict=True):
            yield Sighting(instance, _asked(world_model, position))


def _asked(world_model: WorldModel, position: Float[np.ndarray, " 3"]) -> Query | None:
    """Return what is asked about the object nearest to `position`."""
    belief = world_model.belief
    gap = np.linalg.norm(belief.position.cpu().numpy() - position, axis=1)
    gap[~belief.alive.cpu().numpy()] = np.inf
    slot = int(np.argmin(gap))
    return world_model.query(int(belief.object_id[slot])) if gap[slot] < _FOUND_WITHIN_M else None


def _truth(instances: Sequence[Instance], time_s: float) -> WorldTruth:
    """Return where the instances are at `time_s`, each on its own place of a grid, under a camera of its own."""
    count = len(instances)
    side = int(np.ceil(np.sqrt(count)))
    home = _PITCH_M * np.stack([np.arange(count) % side, np.arange(count) // side, np.zeros(count)], axis=1)
    extent = np.array([i.extent_m for i in instances])
    speed = np.array([max(i.speed_m_s + i.acceleration_m_s2 * time_s, 0.0) for i in instances])
    turn_rate = np.array([i.turn_rate_rad_s for i in instances])
    heading = np.array([i.heading_rad for i in instances]) + turn_rate * time_s
    position, zero = home.copy(), np.zeros(count)
    for row, instance in enumerate(instances):
        position[row, :2] += _way(instance, time_s)
    position[:, 2] = 0.5 * extent[:, 2]
    return WorldTruth(
        time_s,
        tuple(f"thing_{i}" for i in range(count)),
        tuple(i.card.kind for i in instances),
        position,
        np.stack([zero, zero, np.sin(0.5 * heading), np.cos(0.5 * heading)], axis=1),
        np.stack([speed * np.cos(heading), speed * np.sin(heading), zero], axis=1),
        np.stack([zero, zero, np.where(speed > 0.0, turn_rate, 0.0)], axis=1),
        extent,
        np.ones(count, dtype=bool),
        appearance=np.array([i.appearance for i in instances]),
        viewpoints=Viewpoints(home + np.array([0.0, 0.0, _CAMERA_ABOVE_M]), np.full(count, _RANGE_M)),
    )


def _way(instance: Instance, time_s: float) -> Float[np.ndarray, " 2"]:
    """Return how far it has come: the velocity summed over steps of a millisecond."""
    at = np.arange(0.0, time_s, 1e-3)
    speed = np.maximum(instance.speed_m_s + instance.acceleration_m_s2 * at, 0.0)
    heading = instance.heading_rad + instance.turn_rate_rad_s * at
    return 1e-3 * np.array([(speed * np.cos(heading)).sum(), (speed * np.sin(heading)).sum()])


def without(query: Query, *model_ids: str) -> Query:
    """Return `query` with more models left out."""
    return replace(query, exclude=query.exclude | frozenset(model_ids))
