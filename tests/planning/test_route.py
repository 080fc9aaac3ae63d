"""Routes go round what stands, through what is open, and say when there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.planning.floor import ROBOT, Thing, forecast
from worldsim.planning import Route, find_approach, find_route
from worldsim.planning.boxes import Boxes
from worldsim.planning.mppi import standing_outlines
from worldsim.planning.route import Obstacles

RADIUS_M = 0.3


def outlines_of(*things: Thing) -> Boxes:
    return standing_outlines(ROBOT, forecast(things))


def route(
    start: tuple[float, float], goal: tuple[float, float], *things: Thing, hindering: tuple[Thing, ...] = ()
) -> Route:
    return find_route(Obstacles(outlines_of(*things), outlines_of(*hindering)), start, goal, RADIUS_M)


def wall_with_door(width_m: float) -> tuple[Thing, ...]:
    """A wall along y at x = 2 with a door at y = 3, closed off by walls all round."""
    low = Thing((2.0, (3.0 - width_m / 2 - 5.0) / 2), (0.2, 3.0 - width_m / 2 + 5.0, 2.0))
    high = Thing((2.0, (5.0 + 3.0 + width_m / 2) / 2), (0.2, 5.0 - 3.0 - width_m / 2, 2.0))
    sides = (Thing((2.0, -5.0), (8.2, 0.2, 2.0)), Thing((2.0, 5.0), (8.2, 0.2, 2.0)))
    ends = (Thing((-2.0, 0.0), (0.2, 10.2, 2.0)), Thing((6.0, 0.0), (0.2, 10.2, 2.0)))
    return (low, high, *sides, *ends)


def test_a_free_floor_is_crossed_in_a_straight_line():
    found = route((0.0, 0.0), (5.0, 2.0))
    assert found.reachable
    assert found.length_m == pytest.approx(math.hypot(5.0, 2.0), rel=1e-3)
    assert len(found.waypoints) == 2


def test_the_door_in_a_wall_is_found():
    found = route((0.0, 0.0), (4.0, 0.0), *wall_with_door(1.2))
    assert found.reachable
    crossing = np.interp(2.0, found.waypoints[:, 0], found.waypoints[:, 1])
    assert abs(crossing - 3.0) < 0.6 - RADIUS_M + 0.1  # within the door, to a cell
    assert found.length_m < 2 * math.hypot(2.0, 3.0) + 0.4  # it keeps off the posts, as there is room


def test_too_narrow_a_door_is_no_route_and_no_exception():
    found = route((0.0, 0.0), (4.0, 0.0), *wall_with_door(0.5))
    assert not found.reachable
    assert found.length_m == math.inf
    assert found.waypoints.shape == (0, 2)


def test_a_corridor_between_shelves_is_followed():
    shelves = tuple(Thing((x, y), (2.4, 0.6, 2.2)) for x in (0.0, 2.4, 4.8) for y in (-1.0, 1.0))
    found = route((-2.5, 0.0), (7.5, 0.0), *shelves)
    assert found.reachable
    assert np.abs(found.waypoints[:, 1]).max() < 1.0 - 0.3 - RADIUS_M + 0.1
    assert found.length_m == pytest.approx(10.0, rel=0.02)


def test_a_mover_at_rest_hinders_but_does_not_block():
    person = Thing((2.0, 0.0), (0.5, 0.5, 1.75))
    round_it = route((0.0, 0.0), (4.0, 0.0), hindering=(person,))
    assert np.abs(round_it.waypoints[:, 1]).max() > 0.3
    in_the_door = Thing((2.0, 3.0), (0.5, 0.5, 1.75))
    assert route((0.0, 0.0), (4.0, 0.0), *wall_with_door(1.2), hindering=(in_the_door,)).reachable


def test_distance_to_go_falls_along_the_way_and_is_exact_at_the_goal():
    found = route((0.0, 0.0), (4.0, 0.0), *wall_with_door(1.2))
    steps = np.linspace(0.0, 1.0, 30)
    along = np.concatenate(
        [a + (b - a) * steps[:, None] for a, b in zip(found.waypoints[:-1], found.waypoints[1:], strict=True)]
    )
    left = found.distance_to_go(torch.tensor(along, dtype=torch.float32)).numpy()
    # where the string was pulled tight it runs closer to the door's posts than the field likes
    assert np.diff(left).max() < 0.1
    assert left[0] > found.length_m - 0.1
    assert left[-1] == pytest.approx(0.0, abs=1e-5)
    beside = torch.tensor([[4.0, 0.3]])
    assert float(found.distance_to_go(beside)[0]) == pytest.approx(0.3, abs=1e-5)


def test_distances_are_close_to_straight_lines_in_every_direction():
    found = route((-6.0, -6.0), (0.0, 0.0), Thing((8.0, 8.0)))
    angle = torch.linspace(0, 2 * math.pi, 73)
    ring = 4.0 * torch.stack([torch.cos(angle), torch.sin(angle)], dim=-1)
    ratio = found.distance_to_go(ring) / 4.0
    assert ratio.min() > 0.99
    assert ratio.max() < 1.04  # 2.7 % of the sixteen directions, and a cell of a tenth of a metre


def test_a_route_is_kept_through_noise_and_dropped_on_change():
    def obstacles(x: float, count: int = 1) -> Obstacles:
        return Obstacles(outlines_of(*(Thing((x + i, 1.0)) for i in range(count))), outlines_of())

    assert obstacles(2.0).resembles(obstacles(2.03))
    assert not obstacles(2.0).resembles(obstacles(2.3))
    assert not obstacles(2.0).resembles(obstacles(2.0, count=2))


@pytest.mark.parametrize("x", [2.5, 4.0, 5.3, 8.8])
def test_a_crate_on_a_long_leg_after_short_ones_is_no_clear_way(x):
    turns = [
        (0.0, 0.0),
        (0.0, 0.2),
        (0.2, 0.2),
        (0.2, 0.0),
        (0.4, 0.0),
        (0.4, 0.2),
        (0.6, 0.2),
        (0.6, 0.0),
        (10.6, 0.0),
    ]
    way, free = np.array(turns), outlines_of()
    length_m = float(np.linalg.norm(np.diff(way, axis=0), axis=1).sum())
    found = Route((10.6, 0.0), True, length_m, way, torch.zeros(2, 2), (0.0, 0.0), 0.125, Obstacles(free, free))
    assert found.is_clear(outlines_of(Thing((x, 2.0), (0.2, 0.2, 1.0))), RADIUS_M)
    assert not found.is_clear(outlines_of(Thing((x, 0.0), (0.2, 0.2, 1.0))), RADIUS_M)


def test_signed_distance_to_a_turned_box_is_worked_by_hand():
    box = outlines_of(Thing((1.0, 1.0), (2.0, 1.0, 1.0), yaw_rad=math.pi / 2))
    points = torch.tensor([[[1.0, 3.0], [2.0, 1.0], [1.0, 1.0], [1.5 + 3.0, 2.0 + 4.0]]])
    # above the long end, beside the short side, at the centre, and off a corner by a 3-4-5 triangle
    assert box.signed_distance(points)[0, :, 0].tolist() == pytest.approx([1.0, 0.5, -0.5, 5.0], abs=1e-5)


def test_an_approach_faces_the_target_from_a_side_with_room():
    shelf = Thing((4.0, 0.8), (2.4, 0.6, 2.2))
    found = find_approach(ROBOT, outlines_of(shelf), (4.0, 0.0), 0.7)
    assert found is not None
    assert math.dist(found.position, (4.0, 0.0)) == pytest.approx(0.7, abs=1e-5)
    ahead = (math.cos(found.heading_rad), math.sin(found.heading_rad))
    assert found.position[0] + 0.7 * ahead[0] == pytest.approx(4.0, abs=1e-5)
    assert found.staging[1] < 0.4  # not from the shelf's side


def test_no_side_to_approach_from_is_a_value():
    ring = tuple(Thing((math.cos(a), math.sin(a)), (0.6, 0.6, 1.0)) for a in np.linspace(0, 2 * math.pi, 12))
    assert find_approach(ROBOT, outlines_of(*ring), (0.0, 0.0), 0.7) is None
