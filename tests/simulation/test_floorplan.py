"""Room to walk, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldsim.simulation.floorplan import Floorplan

SQUARE = Floorplan.of_boxes([(0.0, 0.0, 2.0, 2.0, 0.0)], waypoints=[(-2.0, 2.0), (2.0, 2.0)])


def test_a_way_ends_at_the_widened_obstacle() -> None:
    assert SQUARE.free_length((-5.0, 0.0), (1.0, 0.0), 10.0, 0.5) == pytest.approx(3.5)
    assert SQUARE.free_length((-5.0, 1.6), (1.0, 0.0), 10.0, 0.5) == 10.0
    assert SQUARE.free_length((-5.0, 0.0), (-1.0, 0.0), 10.0, 0.5) == 10.0


def test_many_ways_at_once_are_each_as_if_alone() -> None:
    angles = np.linspace(0.0, 2.0 * math.pi, 9)
    start = np.full((9, 2), -3.0)
    direction = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    together = SQUARE.free_lengths(start, direction, np.full(9, 8.0), 0.2)
    alone = [SQUARE.free_length((-3.0, -3.0), (float(x), float(y)), 8.0, 0.2) for x, y in direction]
    np.testing.assert_allclose(together, alone)


def test_a_turned_box_is_taken_by_its_bounds() -> None:
    turned = Floorplan.of_boxes([(0.0, 0.0, 2.0, 1.0, math.pi / 2.0)])
    assert turned.footprints[0] == pytest.approx((-0.5, 0.5, -1.0, 1.0))


def test_clearance_and_push_away() -> None:
    assert SQUARE.clearance((4.0, 5.0)) == pytest.approx(5.0)
    assert SQUARE.clearance((0.5, 0.5)) == 0.0
    assert SQUARE.repulsion((1.25, 0.0), 0.5) == pytest.approx((0.5, 0.0))
    assert SQUARE.repulsion((3.0, 0.0), 0.5) == (0.0, 0.0)


def test_a_route_goes_round_by_the_waypoints() -> None:
    assert SQUARE.route((-3.0, 0.0), (3.0, 0.0), 0.3) == [(-2.0, 2.0), (2.0, 2.0), (3.0, 0.0)]
    assert SQUARE.route((-3.0, 3.0), (3.0, 3.0), 0.3) == [(3.0, 3.0)]


def test_without_a_free_route_the_way_is_straight() -> None:
    walled = Floorplan.of_boxes([(0.0, 0.0, 0.2, 100.0, 0.0)])
    assert walled.route((-1.0, 0.0), (1.0, 0.0), 0.3) == [(1.0, 0.0)]
