"""Contact in imagination: how long rollouts take beside PyBullet in the same run, and how far one step agrees."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from worldsim.dynamics.imagination import (
    ContactScene,
    Planes,
    Roller,
    RolloutPath,
    RolloutSettings,
    RolloutStart,
    Solid,
    rollout,
    scouted,
)
from worldsim.evaluation.bench import BenchOptions, Figure
from worldsim.evaluation.rollout_worlds import Heap, start_of
from worldsim.evaluation.statistics import bootstrap
from worldsim.simulation.rollout_engine import EngineBody, RolloutEngine

__all__ = ["agreement_figures", "contact_rollout_figures"]

_DT_S = 1.0 / 60.0
_AGREEMENT_DT_S = 1.0 / 240.0  # the step of the preset "accurate"
_IMPACT_SHARE = 0.2  # standard deviation of a velocity after an impact over the jump, as the world model believes it
_CORES = 2
_SETTINGS = RolloutSettings(iterations=8, first_iterations=16)  # of the times and of the agreement alike


def contact_rollout_figures(options: BenchOptions, rng: np.random.Generator) -> list[Figure]:
    """Return the time of rollouts of a heap of spheres, boxes and capsules, and PyBullet's for the same.

    Ours is laid out anew each time, as for a belief that was never seen before, and rolled out in machine code by a
    thread a core. The same by `torch`, scouted, is told beside it: that is what has gradients, and runs on any device.
    PyBullet goes back to a saved state for each sample, takes the same steps, and reads where the bodies are once, at
    the end; it runs in one process. All take turns.
    """
    samples, steps, count, rounds = (32, 4, 5, 2) if options.quick else (512, 16, 20, 20)
    heap = Heap.drawn(count, rng, _DT_S)
    states = heap.starts(samples, rng)
    start, push = start_of(states, torch.float32), torch.zeros(steps, count, 6)
    scene = heap.scene(steps * _DT_S, torch.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(_CORES)
    ours, by_torch, theirs = [], [], []
    try:
        with RolloutEngine(heap.bodies, _DT_S) as engine, torch.no_grad():
            saved = []
            for sample in range(samples):
                engine.put(*(part[sample] for part in states))
                saved.append(engine.save())
            _on_host(scene, start, push)  # compiles, on a new machine
            for _ in range(rounds):
                started = time.perf_counter()
                _on_host(scene, start, push)
                ours.append(1e3 * (time.perf_counter() - started))
                started = time.perf_counter()
                _by_torch(scene, start, push)
                by_torch.append(1e3 * (time.perf_counter() - started))
                started = time.perf_counter()
                for state in saved:
                    engine.restore(state)
                    engine.step(steps)
                    engine.states()
                theirs.append(1e3 * (time.perf_counter() - started))
    finally:
        torch.set_num_threads(threads)
    mine, engine_ms = np.array(ours), np.array(theirs)
    taken = bootstrap([mine], lambda sample: float(np.median(sample)), rng)
    times = bootstrap([engine_ms / mine], lambda sample: float(np.median(sample)), rng)
    words = f"{samples} samples x {steps} steps x {count} bodies in contact"
    options.tell(f"scale: {words}: {taken.value:.0f} ms, PyBullet {np.median(engine_ms):.0f} ms")
    return [
        Figure.at_most(f"rollout, {words}", taken.value, 400.0, unit="ms", n=rounds, interval=taken.interval,
                       baselines={"PyBullet, one process (ms)": float(np.median(engine_ms)),
                                  "by torch, two threads (ms)": float(np.median(by_torch))}),
        Figure.at_least(f"times faster than PyBullet from saved states, {words}", times.value, 8.0, n=rounds,
                        interval=times.interval),
    ]  # fmt: skip


def _on_host(scene: ContactScene, start: RolloutStart, push: torch.Tensor) -> RolloutPath:
    return Roller(scene, _SETTINGS, compiled=True)(start, push, _DT_S)


def _by_torch(scene: ContactScene, start: RolloutStart, push: torch.Tensor) -> RolloutPath:
    return rollout(scouted(scene, start, push, _DT_S), start, push, _DT_S, _SETTINGS)


@dataclass(frozen=True, slots=True)
class _Step:
    """How far one step is from PyBullet's: largest difference of any body.

    Attributes:
        pose: of a coordinate (m) or a quaternion's component.
        speed: of the length of a velocity, m/s.
        twist: of a component of a velocity (m/s) or a spin (rad/s).
        error, jump: of the first body's velocity, and by how much it changed in PyBullet's, m/s.
    """

    pose: float
    speed: float
    twist: float
    error: float
    jump: float


def agreement_figures(options: BenchOptions, rng: np.random.Generator) -> list[Figure]:
    """Return the largest differences of one step from PyBullet's, over random starts.

    Flight: pose and twist of tumbling boxes, largest component. Sliding: pose, and speed, of boxes pressed on the floor
    by their weight; the components of the twist are told beside, since Bullet's friction is a pyramid and pulls a
    little aside where ours pulls back. Impacts: the velocity after spheres strike each other, over what the world model
    believes it may be off by (0.2 of the jump); the share of strikes within two standard deviations.
    """
    trials = 10 if options.quick else 100
    flights = [_difference(_flying(rng)) for _ in range(trials)]
    slides = [_difference(_sliding(rng)) for _ in range(trials)]
    strikes = [_difference(_striking(rng)) for _ in range(trials)]
    share = np.array([step.error / step.jump for step in strikes])
    within = float((share <= 2.0 * _IMPACT_SHARE).mean())
    return [
        Figure.at_most("one step from PyBullet's, free flight (m, m/s)", max(max(s.pose, s.twist) for s in flights),
                       1e-6, n=trials),
        Figure.at_most("one step from PyBullet's, sliding (m, m/s)", max(max(s.pose, s.speed) for s in slides), 1e-3,
                       n=trials, baselines={"largest component of the twist": max(s.twist for s in slides)}),
        Figure.at_least("impacts within two standard deviations of the impact noise", within, 0.95, n=trials,
                        baselines={"median error over jump": float(np.median(share))}),
    ]  # fmt: skip


_Case = tuple[tuple[EngineBody, ...], Float[np.ndarray, "N 3"], Float[np.ndarray, "N 3"], Float[np.ndarray, "N 3"]]


def _flying(rng: np.random.Generator) -> _Case:
    body = EngineBody("box", (0.2, 0.15, 0.1), 2.0, 0.5, 0.2)
    return (body,), rng.uniform(2.0, 3.0, (1, 3)), rng.normal(0.0, 2.0, (1, 3)), rng.normal(0.0, 1.0, (1, 3))


def _sliding(rng: np.random.Generator) -> _Case:
    body = EngineBody("box", (0.2, 0.15, 0.1), 2.0, float(rng.uniform(0.2, 0.8)), 0.0)
    return (body,), np.array([[0.0, 0.0, 0.1]]), np.append(rng.normal(0.0, 1.0, 2), 0.0)[None], np.zeros((1, 3))


def _striking(rng: np.random.Generator) -> _Case:
    """Return two spheres that touch, the first moving at the second: Bullet sees spheres meet only once they have."""
    bounce = float(rng.uniform(0.2, 0.9))
    bodies = tuple(EngineBody("sphere", (0.1,) * 3, float(rng.uniform(0.5, 2.0)), 0.3, bounce) for _ in range(2))
    way = rng.normal(size=3)
    way /= np.linalg.norm(way)
    place = np.array([[0.0, 0.0, 2.0], [0.0, 0.0, 2.0] + 0.1999 * way])
    return bodies, place, np.array([rng.uniform(1.0, 4.0) * way, np.zeros(3)]), np.zeros((2, 3))


def _difference(case: _Case) -> _Step:
    """Take one step in both."""
    bodies, place, linear, angular = case
    upright = np.zeros((len(bodies), 4))
    upright[:, 3] = 1.0
    with RolloutEngine(bodies, _AGREEMENT_DT_S) as engine:
        moments = engine.moments_kg_m2()
        engine.put(place, upright, linear, angular)
        engine.step()
        there, facing, moving, spinning = engine.states()

    def tensor(values: object) -> torch.Tensor:
        return torch.as_tensor(np.asarray(values, dtype=np.float64))

    mass = tensor([body.mass_kg for body in bodies])
    scene = ContactScene(
        tuple(Solid(body.kind) for body in bodies), tensor([body.half_extent_m for body in bodies]), mass,
        tensor(moments), tensor([body.friction for body in bodies]), tensor([body.restitution for body in bodies]),
        Planes.floor(mass),
    )  # fmt: skip
    start = RolloutStart(*(tensor(part)[None] for part in (place, upright, linear, angular)))
    path = rollout(scene, start, torch.zeros(1, len(bodies), 6, dtype=torch.float64), _AGREEMENT_DT_S, _SETTINGS)
    found = (path.position, path.orientation_xyzw, path.linear_velocity, path.angular_velocity)
    wanted = (there, facing, moving, spinning)
    apart = [float(np.abs(part[0, 0].numpy() - other).max()) for part, other in zip(found, wanted, strict=True)]
    speeds = float(abs(path.linear_velocity[0, 0].norm(dim=-1).numpy() - np.linalg.norm(moving, axis=1)).max())
    error = float(np.linalg.norm(path.linear_velocity[0, 0, 0].numpy() - moving[0]))
    jump = float(np.linalg.norm(moving[0] - linear[0]))
    return _Step(max(apart[:2]), speeds, max(apart[2:]), error, jump)
