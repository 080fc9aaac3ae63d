"""What lies in what, and what that says of touch and of support."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from worldsim.contracts import PairFrame
from worldsim.graph.edges import EdgeTable
from worldsim.graph.rooms import NOWHERE, nesting, rooms
from worldsim.interactions.contact import Contact
from worldsim.interactions.support import Support
from worldsim.types import ObjectStates

HOLDS, OTHER = 1, 0
CAR, CRATE, PARCEL, BALL, FLOOR = range(5)
IDS = np.array([70, 12, 33, 5, 41])
VOLUME = np.array([8.0, 0.1, 0.01, 0.005, 100.0])


def table(*edges: tuple[int, int, int, float]) -> EdgeTable:
    source, target, kind, log_odds = zip(*edges, strict=True)
    return EdgeTable(IDS[list(source)], IDS[list(target)], np.array(kind), np.array(log_odds))


def test_the_room_of_a_thing_is_the_smallest_that_it_lies_in() -> None:
    edges = table(
        (CAR, PARCEL, HOLDS, 3.0), (CRATE, PARCEL, HOLDS, 0.5), (CAR, CRATE, HOLDS, 2.0), (CAR, BALL, HOLDS, -0.1),
        (FLOOR, BALL, OTHER, 9.0),
    )  # fmt: skip
    assert rooms(edges, [HOLDS], IDS, VOLUME).tolist() == [NOWHERE, CAR, CRATE, NOWHERE, NOWHERE]
    assert (rooms(edges, [], IDS, VOLUME) == NOWHERE).all()
    order = np.array([3, 0, 4, 2, 1])  # of the things: the same rooms
    shuffled = rooms(edges, [HOLDS], IDS[order], VOLUME[order])
    assert order[shuffled[order.tolist().index(PARCEL)]] == CRATE


def test_an_edge_to_what_is_not_known_makes_no_room() -> None:
    edges = table((CRATE, PARCEL, HOLDS, 3.0))
    assert (rooms(edges, [HOLDS], IDS[[CAR, PARCEL]], VOLUME[[CAR, PARCEL]]) == NOWHERE).all()
    assert len(rooms(edges, [HOLDS], IDS[:0], VOLUME[:0])) == 0


def test_a_wall_parts_what_is_in_a_room_from_what_is_not() -> None:
    room = np.array([NOWHERE, CAR, CRATE, CRATE, NOWHERE])
    pairs = np.array([[CRATE, PARCEL], [PARCEL, CRATE], [PARCEL, BALL], [FLOOR, BALL], [CAR, BALL], [CAR, FLOOR]])
    nested, walled = nesting(room, pairs)
    assert nested.tolist() == [1, -1, 0, 0, 0, 0]
    assert walled.tolist() == [False, False, False, True, True, False]


def crate_and(height_m: float, aside_m: float = 0.0, nested: int | None = 1, walled: bool = False) -> PairFrame:
    """A crate of 0.4 m on the ground, and a parcel of 0.1 m whose underside is at a height over that of the crate."""

    def at(place: tuple[float, float, float], edge_m: float) -> ObjectStates:
        here = torch.tensor([place], dtype=torch.float64)
        return ObjectStates.at_rest(here, torch.full_like(here, edge_m))

    crate, parcel = at((0.0, 0.0, 0.2), 0.4), at((aside_m, 0.0, height_m + 0.05), 0.1)
    std = torch.tensor([2e-3], dtype=torch.float64)
    frame = PairFrame(crate, parcel, crate, parcel, std, std, 0.05, torch.zeros(1, dtype=torch.float64))
    if nested is None:
        return frame
    return replace(frame, nested=torch.tensor([nested]), walled=torch.tensor([walled]))


def nats(kind: Contact | Support, frame: PairFrame) -> float:
    return float(kind.log_evidence(frame)[0])


def test_contents_stand_on_the_floor_of_what_they_lie_in() -> None:
    assert nats(Support(), crate_and(0.018)) > 1.0
    assert nats(Support(), crate_and(0.12)) < 0.0  # on another parcel
    assert nats(Support(), crate_and(0.018, nested=None)) < -1.0  # in a solid thing nothing stands
    assert nats(Support(), crate_and(0.4, nested=0)) > 1.0  # on top of it
    assert nats(Support(), crate_and(0.4, nested=0, walled=True)) < -1.0


def test_contents_touch_floor_and_walls_and_nothing_in_between() -> None:
    assert nats(Contact(), crate_and(0.018)) > 0.5
    assert nats(Contact(), crate_and(0.12)) < -0.5
    assert nats(Contact(), crate_and(0.12, aside_m=0.132)) > 0.5
    assert nats(Contact(), crate_and(0.018, nested=0, walled=True)) < -0.5
    assert nats(Contact(), crate_and(0.0, nested=0)) == 0.0  # under a bench, by its box


def test_touching_does_not_depend_on_who_is_named_first() -> None:
    one = crate_and(0.018)
    assert one.nested is not None
    other = replace(one, source=one.target, target=one.source, nested=-one.nested)
    assert nats(Contact(), other) == pytest.approx(nats(Contact(), one), abs=1e-12)
