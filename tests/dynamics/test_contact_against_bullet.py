"""Contact beside an engine that shares no code with it: PyBullet without a game engine's shortcuts."""

from __future__ import annotations

import numpy as np
import torch

from worldsim.dynamics import ContactBodies, ContactSettings, Obstacles, resolve_contacts
from worldsim.simulation.toss_engine import CubeInBullet, toss_in_bullet
from worldsim.types.states import ObjectStates

RATE_HZ = 120.0
EDGE_M = 0.1
CUBE = CubeInBullet(
    friction=0.3,
    restitution=0.0,
    mass_kg=1.0,
    moment_kg_m2=EDGE_M**2 / 6,
    edge_m=EDGE_M,
    steps_per_frame=2,
    preset=CubeInBullet.identified(0.3, 0.0).preset,
)
FRAMES = 60


def both(
    height: float, tilt_deg: float, velocity: tuple[float, float, float], spin: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions [T, 3] of PyBullet and of our contact from the same start."""
    half = np.radians(tilt_deg) / 2
    start = (
        np.array([[0.0, 0.0, height]]),
        np.array([[0.0, np.sin(half), 0.0, np.cos(half)]]),
        np.array([velocity]),
        np.array([spin]),
    )
    engine, _ = toss_in_bullet(CUBE, *start, np.array([FRAMES]), RATE_HZ)
    position, orientation, linear, angular = (torch.tensor(a) for a in start)
    state = ObjectStates(position, orientation, linear, angular, torch.full((1, 3), EDGE_M, dtype=torch.float64))
    one = torch.ones(1, dtype=torch.float64)
    cube = ContactBodies(one, 0.3 * one, 0.0 * one, torch.zeros(1, dtype=torch.int64))
    settings = ContactSettings(substeps=2, iterations=20, engine_step_s=1.0 / (2 * RATE_HZ))
    fall = torch.tensor([[0.0, 0.0, -9.81 / RATE_HZ]], dtype=torch.float64)
    ours = [state.position[0].numpy()]
    for _ in range(FRAMES - 1):
        state = resolve_contacts(
            state,
            state.linear_velocity + fall,
            state.angular_velocity,
            cube,
            Obstacles.only_floor(state.position),
            1.0 / RATE_HZ,
            settings,
        ).states
        ours.append(state.position[0].numpy())
    return engine[:, 0], np.array(ours)


def test_free_flight_agrees_to_a_micrometre() -> None:
    engine, ours = both(5.0, 20.0, (1.0, -0.5, 2.0), (1.0, 2.0, 3.0))
    assert np.abs(engine - ours).max() < 1e-6


def test_sliding_stops_at_the_same_place() -> None:
    engine, ours = both(EDGE_M / 2, 0.0, (1.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    # PyBullet's friction acts a step late on the whole stop of 0.17 m.
    assert abs(engine[-1, 0] - ours[-1, 0]) < 5e-3
    assert abs(engine[-1, 2] - ours[-1, 2]) < 1e-3


def test_a_flat_landing_loses_friction_times_its_normal_speed_along_the_floor() -> None:
    engine, ours = both(0.25, 0.0, (2.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    landed = int(np.sqrt(2 * 0.2 / 9.81) * RATE_HZ) + 3
    speeds = [(path[landed + 3, 0] - path[landed, 0]) * RATE_HZ / 3 for path in (engine, ours)]
    expected = 2.0 - 0.3 * np.sqrt(2 * 9.81 * 0.2) - 0.3 * 9.81 * 4 / RATE_HZ
    assert abs(speeds[1] - expected) < 3e-2
    assert abs(speeds[0] - speeds[1]) < 6e-2


def test_a_tilted_cube_dropped_comes_to_rest_on_its_face_in_both() -> None:
    engine, ours = both(0.12, 15.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    assert abs(engine[-1, 2] - EDGE_M / 2) < 1e-3
    assert abs(ours[-1, 2] - EDGE_M / 2) < 1e-3
    assert abs(engine[-1, 0] - ours[-1, 0]) < 1e-2
