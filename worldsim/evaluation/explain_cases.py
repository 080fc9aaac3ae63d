"""Paired decisions of which one differs from the other by a belief or by a value alone, to put `explain` to the test.

Both decisions of a pair are made by the same agent with the same random numbers, on a belief that the world model made
of a few made-up frames. For a changed belief something else is seen (a thing stands elsewhere, walks another way, is
not there); for a changed value something else is wanted (another goal, clearance or weight) of the very same frames.
A pair counts where the act differs; which of the two was changed is what `explain` has to find.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldsim.contracts.agent import Agent
from worldsim.contracts.registry import Registry
from worldsim.loop import WorldModel
from worldsim.plugins import load_plugin
from worldsim.types.card import ModelCard
from worldsim.types.explanation import Cause, Explanation
from worldsim.types.observation import Detections, EgoState, Observation, Viewpoints
from worldsim.types.planning import Preferences

__all__ = ["Case", "Scene", "decide", "paired_cases"]

FRAME_S = 0.05
_FRAMES = 5  # enough for a believed velocity
_ROBOT_EXTENT_M = (0.70, 0.50, 0.30)
_DIFFERS = 0.1  # of an action's range: a pair's acts are no closer
_NOISE_M = 0.01
_ARENA_M = 3.2


@dataclass(frozen=True, slots=True)
class Placed:
    """A thing of a kind that the registry knows, where it stands and how it moves (m, m/s)."""

    kind: str
    place: tuple[float, float]
    velocity: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is so and what is wanted in one decision.

    Attributes:
        things: what stands and walks around the robot, which is at rest in the origin and looks along x.
        parcels: (x, y) m of two parcels: both lie there, whichever is wanted.
        pickup: the one of them that is wanted; dropoff: (x, y) m, where to.
        preferences: of the agent.
        noise_seed: of the sensor's noise.
    """

    things: tuple[Placed, ...]
    parcels: tuple[tuple[float, float], tuple[float, float]]
    pickup: tuple[float, float]
    dropoff: tuple[float, float]
    preferences: Preferences
    noise_seed: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """One pair: which of belief and value was changed, and what `explain` says of the second decision."""

    changed: Cause
    what: str
    explanation: Explanation


def paired_cases(count: int, registry: Registry, rng: np.random.Generator, *, distract: bool = False) -> Iterator[Case]:
    """Yield `count` pairs, half with a changed belief and half with a changed value.

    Args:
        count: how many.
        registry: whose starter models the world model loads.
        rng: draws the scenes and the changes.
        distract: change the other of the two as well, in a way that should not matter: fresh sensor noise beside a
            changed value, a hundredth of a weight beside a changed belief.
    """
    cards = {card.kind: card for card in reversed(registry.cards(tag="starter"))}
    made = 0
    while made < count:
        changed = Cause.BELIEF if made % 2 == 0 else Cause.VALUE
        scene = _scene(rng)
        what, other = (_with_another_belief if changed is Cause.BELIEF else _with_another_value)(scene, rng)
        if distract:
            other = _distracted(other, changed, rng)
        seed = int(rng.integers(2**31))
        first, second = decide(scene, registry, cards, seed), decide(other, registry, cards, seed)
        before, after = first.last_decision, second.last_decision
        if before is None or after is None or np.abs(before.plan.action - after.plan.action).max() < _DIFFERS:
            continue
        made += 1
        yield Case(changed, what, second.explain(-1, against=before))


def decide(scene: Scene, registry: Registry, cards: dict[str, ModelCard], seed: int) -> Any:
    """Return a deliverer after its first decision in `scene`."""
    world_model = WorldModel(registry=registry, device="cpu", seed=seed)
    frames = list(_frames(scene, cards))
    record = world_model.reset(frames[0])
    for frame in frames[1:]:
        record = world_model.step(frame, np.zeros(3))
    made: Any = load_plugin("worldsim.agents", "deliverer", Agent)
    agent = made(world_model, preferences=scene.preferences)
    agent.act(frames[-1], record, np.random.default_rng(seed))
    return agent


def _scene(rng: np.random.Generator) -> Scene:
    crates = [Placed("crate", _spot(rng, 1.0)) for _ in range(int(rng.integers(2, 5)))]
    heading, speed = rng.uniform(-math.pi, math.pi), rng.uniform(0.5, 1.2)
    worker = Placed("worker", _spot(rng, 1.0), (speed * math.cos(heading), speed * math.sin(heading)))
    parcels = (_spot(rng, 2.0), _spot(rng, 2.0))
    wanted = Preferences(clearance_m=0.5)
    return Scene((*crates, worker), parcels, parcels[0], _spot(rng, 2.0), wanted, int(rng.integers(2**31)))


def _spot(rng: np.random.Generator, least_m: float) -> tuple[float, float]:
    """Return a place at least so far from the robot."""
    while True:
        x, y = rng.uniform(-_ARENA_M, _ARENA_M, 2)
        if math.hypot(x, y) >= least_m:
            return float(x), float(y)


def _with_another_belief(scene: Scene, rng: np.random.Generator) -> tuple[str, Scene]:
    things, worker = scene.things[:-1], scene.things[-1]
    match int(rng.integers(4)):
        case 0:
            what, worker = "the worker is elsewhere", dataclasses.replace(worker, place=_spot(rng, 0.9))
        case 1:
            back = (-worker.velocity[0], -worker.velocity[1])
            what, worker = "the worker walks the other way", dataclasses.replace(worker, velocity=back)
        case 2:
            way = math.atan2(scene.pickup[1], scene.pickup[0])
            blocking = Placed("crate", (1.0 * math.cos(way), 1.0 * math.sin(way)))
            what, things = "a crate stands in the way", (blocking, *things[1:])
        case _:
            return "the worker is not there", dataclasses.replace(scene, things=things)
    return what, dataclasses.replace(scene, things=(*things, worker))


def _with_another_value(scene: Scene, rng: np.random.Generator) -> tuple[str, Scene]:
    wanted = scene.preferences
    match int(rng.integers(4)):
        case 0:
            return "another parcel is wanted", dataclasses.replace(scene, pickup=scene.parcels[1])
        case 1:
            what, wanted = "more room is wanted", dataclasses.replace(wanted, clearance_m=1.5)
        case 2:
            weights = (("clearance", 0.0), ("collision", 0.0))
            what, wanted = "movers do not matter", dataclasses.replace(wanted, weights=weights)
        case _:
            weights = (("progress", float(rng.uniform(0.0, 0.05))), ("effort", 20.0))
            what, wanted = "effort matters more than progress", dataclasses.replace(wanted, weights=weights)
    return what, dataclasses.replace(scene, preferences=wanted)


def _distracted(scene: Scene, changed: Cause, rng: np.random.Generator) -> Scene:
    if changed is Cause.VALUE:
        return dataclasses.replace(scene, noise_seed=int(rng.integers(2**31)))
    weights = (*scene.preferences.weights, ("smoothness", 1.01))
    return dataclasses.replace(scene, preferences=dataclasses.replace(scene.preferences, weights=weights))


def _frames(scene: Scene, cards: dict[str, ModelCard]) -> Iterator[Observation]:
    """Yield what a detector would give in `_FRAMES` frames, noise included."""
    rng = np.random.default_rng(scene.noise_seed)
    things = (*scene.things, *(Placed("parcel", place) for place in scene.parcels))
    chosen = [cards[thing.kind] for thing in things]
    extent = np.array([card.shape.extent_m for card in chosen])
    looks = np.array([card.descriptor.appearance for card in chosen])
    covariance = np.tile(np.diag([_NOISE_M**2] * 3 + [2.5e-4] * 3), (len(things), 1, 1))
    still, upright = np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0])
    ego = EgoState(np.array([0.0, 0.0, 0.15]), upright, still, still, np.array(_ROBOT_EXTENT_M), np.eye(6) * 1e-4)
    task = {
        "task_goal_position": np.array([*scene.pickup, 0.15]),
        "task_holding": np.zeros(1),
        "task_pickup_position": np.array([*scene.pickup, 0.15]),
        "task_dropoff_position": np.array([*scene.dropoff, 0.15]),
    }
    for k in range(_FRAMES):
        at = [(t.place[0] + k * FRAME_S * t.velocity[0], t.place[1] + k * FRAME_S * t.velocity[1]) for t in things]
        position = np.column_stack([np.array(at), extent[:, 2] / 2]) + rng.normal(0.0, _NOISE_M, (len(things), 3))
        heading = [math.atan2(t.velocity[1], t.velocity[0]) / 2 for t in things]
        turn = np.array([[0.0, 0.0, math.sin(h), math.cos(h)] for h in heading])
        seen = Detections(position, turn, extent, np.full((len(things), 3), 0.5), looks, covariance)
        yield Observation(k * FRAME_S, seen, Viewpoints(np.array([[0.0, 0.0, 4.0]]), np.array([20.0])), ego, task)
