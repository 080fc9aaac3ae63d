"""What each object responds to, and what it may bump into."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from worldsim.inference import slots as slot_table
from worldsim.inference.stimuli import may_bump, nearest_mover, obstacles
from worldsim.types import WorldBelief

DTYPE = torch.float64


def cubes(*places: tuple[float, float, float], velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> WorldBelief:
    """Return a belief in cubes of 0.4 m, the first of which has a velocity."""
    n = len(places)
    moving = torch.zeros(n, 3, dtype=DTYPE)
    moving[0] = torch.tensor(velocity, dtype=DTYPE)
    return dataclasses.replace(
        slot_table.empty_belief(n, torch.device("cpu"), DTYPE),
        alive=torch.ones(n, dtype=torch.bool),
        position=torch.tensor(places, dtype=DTYPE),
        linear_velocity=moving,
        extent_m=torch.full((n, 3), 0.4, dtype=DTYPE),
        existence=torch.ones(n, dtype=DTYPE),
    )


def test_each_minds_the_nearest_mover_within_reach_other_than_itself() -> None:
    belief = cubes((0.0, 0.0, 0.2), (1.0, 0.0, 0.2), (3.0, 0.0, 9.0), (30.0, 0.0, 0.2), (0.1, 0.0, 0.2))
    living = torch.tensor([True, True, True, True, False])
    movers = np.array([True, False, True, True, False])
    index, known = nearest_mover(belief.position, movers, living)
    assert known.tolist() == [True, True, True, False, False]  # 27 m off nobody is minded, and the dead mind nobody
    assert index.tolist() == [2, 0, 0, 3, 4]  # seen from above: that the third hovers high does not matter


def test_what_flies_or_falls_or_may_reach_another_may_bump_and_what_rolls_alone_may_not() -> None:
    first = np.array([0])

    def bumps(
        x: float, velocity: tuple[float, float, float] = (0.0, 0.0, 0.0), height_m: float = 0.2, dt_s: float = 0.1
    ) -> bool:
        belief = cubes((0.0, 0.0, height_m), (x, 0.0, height_m), velocity=velocity)
        return bool(may_bump(belief, first, dt_s)[0])

    assert not bumps(3.0, (1.0, 0.0, 0.0))
    assert bumps(3.0, height_m=0.5)
    assert bumps(3.0, (0.0, 0.0, -1.0))  # no longer for long
    # half a diagonal and the other's half edge are 0.48 m, and a margin of 0.1 m; in 0.1 s at 5 m/s it goes far
    assert bumps(0.55)
    assert not bumps(0.9)
    assert bumps(0.9, (5.0, 0.0, 0.0))
    assert not bumps(0.9, (5.0, 0.0, 0.0), dt_s=0.01)


def test_whose_meetings_the_law_of_impact_foretells_are_no_obstacles_to_each_other() -> None:
    belief = cubes((0.0, 0.0, 0.2), (0.45, 0.0, 0.2), (-0.45, 0.0, 0.2))
    balls, everyone = np.array([True, True, False]), np.ones(3, dtype=bool)
    assert may_bump(belief, np.array([0]), 0.05, balls).tolist() == [True]  # into the third
    alone = dataclasses.replace(belief, alive=torch.tensor([True, True, False]))
    assert may_bump(alone, np.array([0]), 0.05, balls).tolist() == [False]
    assert may_bump(alone, np.array([0]), 0.05).tolist() == [True]
    found = obstacles(belief, everyone, balls)
    near = [sorted(found.position[row, found.present[row], 0].tolist()) for row in range(3)]
    assert near == [[-0.45], [-0.45], [0.0, 0.45]]


def test_nothing_bumps_into_itself_or_into_what_was_seen_once() -> None:
    belief = cubes((0.0, 0.0, 0.2), (0.45, 0.0, 0.2), (-0.45, 0.0, 0.2))
    belief = dataclasses.replace(belief, existence=torch.tensor([1.0, 1.0, 0.2], dtype=DTYPE))
    found = obstacles(belief, np.array([True, False, True]))
    near = [sorted(found.position[row, found.present[row], 0].tolist()) for row in range(3)]
    assert near == [[0.45], [], [0.0, 0.45]]  # whoever collides not, has none
    assert may_bump(belief, np.array([0]), 0.05, None).tolist() == [True]
    ghost_alone = dataclasses.replace(belief, alive=torch.tensor([True, False, True]))
    assert may_bump(ghost_alone, np.array([0]), 0.05).tolist() == [False]


def test_what_bears_a_body_is_not_forgotten_for_large_things_that_only_reach_near() -> None:
    walls = [(3.0 * x, 3.0 * y, 0.2) for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1))]
    belief = cubes((0.0, 0.0, 0.6), (0.0, 0.0, 0.2), *walls)
    size = belief.extent_m.clone()
    size[2:] = torch.tensor([4.0, 0.2, 3.0], dtype=DTYPE)  # half a diagonal is 2.5 m: nearer than the cube, by that
    belief = dataclasses.replace(belief, extent_m=size)
    found = obstacles(belief, np.arange(len(walls) + 2) == 0)
    assert [0.0, 0.0, 0.2] in [[round(x, 6) for x in row] for row in found.position[0, found.present[0]].tolist()]
