"""What wakes a sleeper, against the plainest way to work it out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from worldsim.dormancy import kernels, watch
from worldsim.dormancy.store import Dormant, Signature
from worldsim.types import Detections, Viewpoints

_NOISE = np.array([1e-4] * 3 + [2.5e-4] * 3)
_SIZE = np.array([0.4, 0.6, 1.2])


def lying(position: np.ndarray, half: np.ndarray | None = None) -> Dormant:
    """Return a store of upright things at some places, last seen in frame 0."""
    n = len(position)
    store = Dormant()
    signature = Signature.of(
        position=position,
        orientation_xyzw=np.tile([0.0, 0.0, 0.0, 1.0], (n, 1)),
        extent_m=np.tile(_SIZE, (n, 1)),
        extent_variance_m2=np.full((n, 3), 1e-4),
        variance=np.full((n, 6), 4e-5),
        drift=np.zeros((n, 6)),
        strain=np.full((n, 1), watch.AGREED),
        last_frame=np.zeros((n, 1)),
        last_seen_s=np.zeros((n, 1)),
        half_m=np.tile(0.5 * _SIZE, (n, 1)) if half is None else half,
        appearance=np.full((n, 12), 0.3),
    )
    store.put(np.arange(n), {"number": np.arange(n)}, signature, np.zeros(n, dtype=np.int64))
    return store


def seen(position: np.ndarray) -> Detections:
    n = len(position)
    upright = np.tile([0.0, 0.0, 0.0, 1.0], (n, 1))
    look = np.full((n, 12), 0.3)
    return Detections(
        position, upright, np.tile(_SIZE, (n, 1)), np.full((n, 3), 0.5), look, np.tile(np.diag(_NOISE), (n, 1, 1))
    )


def moment(frame: int) -> watch.Moment:
    return watch.Moment(frame, 0.05 * frame, 0.03, 0.004)


def grid(side: int, spacing: float = 2.5) -> np.ndarray:
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    return np.column_stack([spacing * x.ravel(), spacing * y.ravel(), np.full(side * side, 0.6)])


def test_what_agrees_is_told_to_the_sleeper_alone_whatever_the_order() -> None:
    rng = np.random.default_rng(0)
    places = grid(12)
    store = lying(places)
    order = rng.permutation(len(places))
    found = watch.sift(store, seen(places[order] + 0.01 * rng.standard_normal((len(places), 3))), moment(1))
    assert len(found.rows) == len(found.disturbed) == 0
    assert store.signature is not None
    assert (store.signature.last_frame[: store.rows] == 1).all()


@pytest.mark.parametrize("frame", [0, 1, 7])
def test_a_sleeper_that_a_doubtful_detection_may_be_of_is_granted_to_no_other(frame: int) -> None:
    """The first detection agrees with all three in a row, the second with the middle one alone."""
    row = np.array([[-0.06, 0.0, 0.6], [0.0, 0.0, 0.6], [0.06, 0.0, 0.6]])
    doubtful, clear = [0.0, 0.0, 0.6], [0.0, 0.07, 0.6]
    for detections, left in (([clear], []), ([doubtful, clear], [0, 1]), ([clear, doubtful], [0, 1])):
        store = lying(row)
        assert watch.sift(store, seen(np.array(detections)), moment(frame)).rows.tolist() == left
        # and what one frame leaves in doubt is no doubt in the next
        assert watch.sift(store, seen(np.array([clear])), moment(frame + 1)).rows.tolist() == []


def test_a_sleeper_is_corrected_as_a_kalman_filter_of_a_constant_corrects() -> None:
    rng = np.random.default_rng(1)
    place = np.array([[1.0, 2.0, 0.6]])
    store = lying(place)
    mean, variance, frame_before = place[0].copy(), 4e-5, 0
    for frame in (1, 2, 3, 5, 6, 9):  # where it is missed it may have crept all the same
        look = place + 0.01 * rng.standard_normal((1, 3))
        watch.sift(store, seen(look), moment(frame))
        variance += kernels.CREEP[0] * (frame - frame_before)
        gain = variance / (variance + _NOISE[0])
        mean += gain * (look[0] - mean)
        variance, frame_before = (1.0 - gain) * variance, frame
    assert store.signature is not None
    np.testing.assert_allclose(store.signature.position[0] + store.signature.drift[0, :3], mean, atol=1e-12)
    np.testing.assert_allclose(store.signature.variance[0, :3], variance, rtol=1e-9)


@pytest.mark.parametrize("change", ["place", "size", "look", "twice"])
def test_what_does_not_agree_is_left_to_the_step_and_disturbs_who_lies_there(change: str) -> None:
    places = grid(4)
    store, detections = lying(places), seen(places)
    if change == "place":
        detections.position[5] += [0.4, 0.0, 0.0]
    elif change == "size":
        detections.extent_m[5] *= 2.0
    elif change == "look":
        detections.appearance[5] += 0.5
    else:
        detections = Detections(*(np.concatenate([field, field[5:6]]) for field in _fields(detections)))
    found = watch.sift(store, detections, moment(1))
    assert found.rows.tolist() == ([5, len(places)] if change == "twice" else [5])
    assert found.disturbed.tolist() == [5]


def _fields(detections: Detections) -> list[np.ndarray]:
    return [getattr(detections, f.name) for f in dataclasses.fields(Detections)]


def test_one_slight_disagreement_wakes_nobody_and_a_lasting_one_does() -> None:
    store = lying(np.array([[0.0, 0.0, 0.6]]))
    off = [np.array([[0.06 + 0.04 * k, 0.0, 0.6]]) for k in range(5)]
    told = [len(watch.sift(store, seen(place), moment(1 + k)).disturbed) for k, place in enumerate(off)]
    assert told[0] == 0
    assert 1 in told


def test_neighbours_are_those_that_comparing_all_with_all_finds() -> None:
    rng = np.random.default_rng(2)
    places = np.column_stack([rng.uniform(-40.0, 40.0, (500, 2)), np.full(500, 0.6)])
    half = rng.uniform(0.1, 0.4, (500, 3))
    half[:5, 0] = 9.0  # walls
    store = lying(places, half)
    points, radius = rng.uniform(-40.0, 40.0, (60, 3)) * [1.0, 1.0, 0.02], rng.uniform(0.1, 3.0, 60)
    outside = (np.abs(points[:, None] - places[None]) - half[None]).clip(0.0)
    near = np.linalg.norm(outside, axis=-1) - radius[:, None] < 0.8
    found = watch.beside(store, points, radius, 0.8)
    assert found.tolist() == np.flatnonzero(near.any(axis=0)).tolist()


def test_what_is_overdue_is_found_in_the_end_and_what_is_out_of_range_is_not() -> None:
    places = np.concatenate([grid(100, 1.5), grid(3) + np.array([1000.0, 0.0, 0.0])])
    store = lying(places)
    view = Viewpoints(np.array([[50.0, 50.0, 5.0]]), np.array([400.0]))
    found: set[int] = set()
    for frame in range(10, 100):
        found |= set(watch.overdue(store, view, frame).tolist())
    assert len(watch.overdue(store, view, 2)) == 0
    assert found <= set(range(10_000))
    assert len(found) > 256


def test_what_was_put_away_out_of_sight_is_not_overdue_until_its_time() -> None:
    store = lying(grid(3))
    view = Viewpoints(np.array([[2.0, 2.0, 5.0]]), np.array([40.0]))
    store.hidden_until[: store.rows] = 50
    assert len(watch.overdue(store, view, 50)) == 0
    assert len(watch.overdue(store, view, 51)) == 9


def test_something_beside_a_sleeper_that_was_seen_where_it_lies_wakes_nobody() -> None:
    places = grid(3)
    store, beside = lying(places), places[4] + [0.4, 0.0, 0.0]
    found = watch.sift(store, seen(np.concatenate([places, beside[None]])), moment(1))
    assert found.rows.tolist() == [9]
    assert found.disturbed.tolist() == []


def test_who_may_have_come_from_anywhere_is_beside_everybody_within_its_reach() -> None:
    places = grid(4)
    store = lying(places)
    store.leave(np.array([5]))
    a_day = watch.beside(store, np.array([[0.0, 0.0, 0.6]]), np.array([1.2 * 86_400.0]), 0.8)  # at 1.2 m/s
    assert a_day.tolist() == [row for row in range(16) if row != 5]


def test_who_stands_on_a_line_of_sight_is_found() -> None:
    places = grid(20)
    store = lying(places)
    rows = watch.between(store, np.array([[45.0, 45.0, 0.6]]), np.array([[0.0, 0.0, 3.0]]), 0.5)
    on_the_way = np.flatnonzero(np.abs(places[:, 0] - places[:, 1]) < 0.5)
    assert set(on_the_way.tolist()) <= set(rows.tolist())
    assert len(rows) < len(places) // 2
    assert len(watch.between(store, np.array([[45.0, 45.0, 0.6]]), np.array([[0.0, 0.0, 3.0]]), 1.5)) == 0


def test_who_leaves_and_returns_is_found_where_it_lies_now() -> None:
    places = grid(5)
    store = lying(places)
    store.leave(np.array([3]))
    assert store.holds(np.array([2, 3])).tolist() == [True, False]
    assert store.signature is not None
    moved = store.signature.select(np.array([3]))
    moved.position[:] += [0.0, 1.1, 0.0]
    store.put(np.array([3]), {"number": np.array([3])}, moved, np.zeros(1, dtype=np.int64))
    assert len(store) == 25
    here = places.copy()
    here[3] += [0.0, 1.1, 0.0]
    assert len(watch.sift(store, seen(here), moment(1)).rows) == 0
    store.pack()
    assert store.rows == len(store) == 25
    assert len(watch.sift(store, seen(here), moment(2)).rows) == 0


def test_a_store_that_all_have_left_takes_them_in_again() -> None:
    places = grid(36)  # so many that the store is packed as the last one leaves
    store, again = lying(places), lying(places).signature
    store.leave(store.present())
    assert (len(store), store.rows) == (0, 0)
    ids = np.arange(len(places))
    store.put(ids, {"number": ids}, again.select(ids), np.zeros(len(ids), dtype=np.int64))
    assert store.holds(ids).all()
    beside = watch.beside(store, places[:1], np.zeros(1), 0.1)
    assert store.object_id[beside].tolist() == [0]
