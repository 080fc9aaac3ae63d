"""A small made-up world for tests of the loop: shelves, crates, a walker, and from some time on a cat."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch

from tests.models.cards import EXTENTS, card_of, model_of
from worldsim.contracts import ObjectModel, Registry
from worldsim.engine.state import GENERIC_MODEL
from worldsim.errors import StorageError
from worldsim.loop import WorldModel
from worldsim.types import (
    Candidates,
    Descriptor,
    Detections,
    EgoState,
    Event,
    ModelCard,
    Observation,
    Query,
    Viewpoints,
)

DT_S = 0.05
KINDS = ("static", "rigid_body", "person", "vehicle")
LOOKS = {k: np.random.default_rng(i).uniform(0, 1, 12) for i, k in enumerate(sorted(EXTENTS))}


def model(family: str, **changes: object) -> ObjectModel:
    """Return a model whose card also says what it looks like."""
    card = card_of(family, kind="robot" if family == "vehicle" else None)
    if family == "generic":
        card = card.replace(model_id=GENERIC_MODEL)
    else:
        card = card.replace(descriptor=Descriptor(tuple(LOOKS[family]), (0.06,) * 12))
    return type(model_of(family))(card.replace(**changes))


class Shelf(Registry):
    """A registry of a few models in memory: small and real enough for the loop (the shipped one has its own tests)."""

    def __init__(self, *models: ObjectModel, full: bool = False) -> None:
        self.models = {m.card.model_id: m for m in models}
        self.full = full
        self.queries: list[Query] = []

    def search(self, query: Query, k: int = 8) -> Candidates:
        self.queries.append(query)
        cards = [m.card for m in self.models.values() if m.card.model_id not in query.exclude][:k]
        return Candidates(tuple(cards), tuple(float(i) for i in range(len(cards))))

    def fetch(self, model_id: str, version: int | None = None) -> ObjectModel:
        return self.models[model_id]

    def publish(self, model: ObjectModel) -> str:
        if self.full:
            raise StorageError("no space left on device")
        self.models[model.card.model_id] = model
        return f"{model.card.model_id}@1"

    def cards(self, tag: str | None = None) -> list[ModelCard]:
        return [m.card for m in self.models.values()]

    def __len__(self) -> int:
        return len(self.models)


def world_model(registry: Registry | None = None, **options: object) -> WorldModel:
    """Return a world model that knows everything here but the cat."""
    known = [model(k) for k in (*KINDS, "generic")]
    return WorldModel(registry, models=known, **options)  # type: ignore[arg-type]


def frames(seconds: float, seed: int = 0, cat_from_s: float = 1e9, hover: bool = False) -> Iterator[Observation]:
    """Yield observations at 20 Hz, unordered, with noise and misses."""
    rng = np.random.default_rng(seed)
    shelves = [("static", np.array([3.0 * i - 6.0, 5.0, 1.1])) for i in range(4)]
    crates = [("rigid_body", np.array([1.5 * i - 6.0, -4.0, 0.175])) for i in range(8)]
    crates += [("rigid_body", np.array([1.5 * i - 6.0, -4.0, 0.525])) for i in range(3)]
    for k in range(round(seconds / DT_S)):
        t = k * DT_S
        things = shelves + crates + [("person", np.array([1.2 * t - 4.0, 0.0, 0.875]))]
        if t >= cat_from_s:
            s = t - cat_from_s
            spot = (
                [-3.0 + np.sin(0.8 * s) / 0.8, 2.0 - np.cos(0.8 * s) / 0.8, 1.4] if hover else [-3 + 0.8 * s, 2, 0.15]
            )
            things = [*things, ("cat", np.array(spot))]
        yield frame(t, [x for x in things if rng.random() > 0.03], rng)


def frame(t: float, things: list[tuple[str, np.ndarray]], rng: np.random.Generator) -> Observation:
    """Return what is seen of (family, place) things at `t`, the robot among them."""
    n = len(things)
    order = rng.permutation(n)
    position = np.array([x for _, x in things]).reshape(n, 3) + rng.normal(0, 0.01, (n, 3))
    orientation = np.concatenate([rng.normal(0, 0.008, (n, 3)), np.ones((n, 1))], axis=1)
    orientation /= np.linalg.norm(orientation, axis=1, keepdims=True)
    extent = np.array([EXTENTS[k] for k, _ in things]).reshape(n, 3) * np.exp(rng.normal(0, 0.02, (n, 3)))
    look = np.array([LOOKS[k] for k, _ in things]).reshape(n, 12) + rng.normal(0, 0.04, (n, 12))
    covariance = np.tile(np.diag([1e-4] * 3 + [2.56e-4] * 3), (n, 1, 1))
    detections = Detections(position, orientation, extent, np.full((n, 3), 0.5), look, covariance).select(order)
    upright, still = np.array([0.0, 0, 0, 1]), np.zeros(3)
    ego = EgoState(np.array([5.0, 1.0, 0.15]), upright, still, still, np.array(EXTENTS["vehicle"]), np.eye(6) * 1e-4)
    return Observation(t, detections, Viewpoints(np.array([[0.0, 0, 5]]), np.array([30.0])), ego)


def run(wm: WorldModel, observations: list[Observation]) -> list[Event]:
    """Let a world model begin with the first observation and take in the others; return the events."""
    wm.reset(observations[0])
    events: list[Event] = []
    for observation in observations[1:]:
        events += wm.step(observation, np.zeros(3)).events
    return events


def same(a: WorldModel, b: WorldModel) -> bool:
    """Return whether two world models believe the same, bit for bit."""
    mine, other = a.belief.tensors(), b.belief.tensors()
    return all(torch.equal(mine[name], other[name]) for name in mine)


def spoilt(observation: Observation, index: int) -> Observation:
    """Return the observation with a NaN in one detection."""
    position = observation.detections.position.copy()
    position[index, 0] = np.nan
    return dataclasses.replace(observation, detections=dataclasses.replace(observation.detections, position=position))
