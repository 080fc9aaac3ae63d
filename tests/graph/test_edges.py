"""Candidate pairs, edge evidence and the typed posterior."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from worldsim.contracts import EdgePrior, Interaction, PairFrame
from worldsim.graph.candidates import box_gap, candidate_pairs
from worldsim.graph.edges import EdgeTable, Evidence, after_waiting, as_graph, infer, without
from worldsim.interactions.attach import Attach
from worldsim.interactions.contact import Contact
from worldsim.interactions.support import Support
from worldsim.types import ObjectStates

DTYPE = torch.float64


def frame_of(
    source: tuple[float, float, float],
    target: tuple[float, float, float],
    moved: tuple[tuple[float, float, float], tuple[float, float, float]] = ((0, 0, 0), (0, 0, 0)),
    command: float = 0.0,
) -> PairFrame:
    """One pair of half-metre boxes; `moved` is how far each has come in the frame."""

    def at(position: tuple[float, float, float], shift: tuple[float, float, float] = (0, 0, 0)) -> ObjectStates:
        here = torch.tensor([position], dtype=DTYPE) - torch.tensor([shift], dtype=DTYPE)
        return ObjectStates.at_rest(here, torch.full_like(here, 0.5))

    std = torch.tensor([2e-3], dtype=DTYPE)
    return PairFrame(
        at(source), at(target), at(source, moved[0]), at(target, moved[1]), std, std, 0.05,
        torch.tensor([command], dtype=DTYPE),
    )  # fmt: skip


def after(kind: Interaction, frame: PairFrame, frames: int) -> float:
    table = EdgeTable.empty()
    for _ in range(frames):
        table = infer(table, [Evidence(0, kind, np.array([[1, 2]]), frame)])
    graph = as_graph(table, (kind.kind,), (1, 2), ("a", "b"))
    return float(graph.probability[0]) if len(graph) else 0.0  # all but excluded edges are not listed


def test_what_stands_on_another_is_supported_and_what_stands_beside_is_not() -> None:
    assert after(Support(), frame_of((0, 0, 0.25), (0, 0, 0.75)), 10) > 0.95
    assert after(Support(), frame_of((0, 0, 0.25), (0, 0, 1.05)), 10) < 0.05
    assert after(Support(), frame_of((0, 0, 0.25), (0.9, 0, 0.75)), 10) < 0.05


def test_what_falls_past_a_top_does_not_stand_on_it_and_what_sinks_with_it_does() -> None:
    stands = frame_of((0, 0, 0.25), (0, 0, 0.75))

    def sinking(states: ObjectStates) -> ObjectStates:
        return replace(states, linear_velocity=torch.tensor([[0.0, 0.0, -1.0]], dtype=DTYPE))

    falls = replace(stands, target=sinking(stands.target))
    lift = replace(falls, source=sinking(stands.source))
    assert float(Support().log_evidence(falls)) < -1.0 < 1.0 < float(Support().log_evidence(lift))


def test_however_long_an_edge_was_there_it_can_be_given_up_in_time() -> None:
    class Lasting(Contact):
        prior = EdgePrior(log_odds=0.0, appear_per_s=0.0, vanish_per_s=0.0)  # time alone takes nothing away

    touching, apart = (frame_of((0, 0, 0.25), (x, 0, 0.25)) for x in (0.5, 0.6))
    held = EdgeTable.empty()
    for frame in [touching] * 400 + [apart] * 8:
        held = infer(held, [Evidence(0, Lasting(), np.array([[1, 2]]), frame)])
    assert float(held.log_odds[0]) < 0.0


def test_boxes_that_touch_are_in_contact_and_boxes_a_hand_apart_are_not() -> None:
    assert after(Contact(), frame_of((0, 0, 0.25), (0.5, 0, 0.25)), 10) > 0.9
    assert after(Contact(), frame_of((0, 0, 0.25), (0.58, 0, 0.25)), 10) < 0.1


def test_what_is_seen_to_be_out_of_reach_is_given_up_and_what_sleeps_stays() -> None:
    near, kind = frame_of((0, 0, 0.25), (0.5, 0, 0.25)), Contact()
    held = EdgeTable.empty()
    for _ in range(10):
        held = infer(held, [Evidence(0, kind, np.array([[1, 2]]), near)])

    def afterwards(searched: list[bool] | None, frames: int) -> float:
        table, nobody = held, np.zeros((0, 2), dtype=np.int64)
        for _ in range(frames):
            looked = None if searched is None else np.array(searched)
            table = infer(table, [Evidence(0, kind, nobody, near, looked)])
        return float(1.0 / (1.0 + np.exp(-table.log_odds[0]))) if len(table.source) else 0.0

    there = afterwards([False, False, False], 0)
    assert there > 0.9
    assert 0.3 < afterwards(None, 1) < there  # nobody looked: it may have changed
    assert afterwards([False, False, True], 3) < 0.02
    assert afterwards([False, False, True], 40) == 0.0  # and not at even odds, as if nobody had looked
    assert afterwards([True, False, False], 40) == there  # neither of the two was searched around


def test_co_motion_attaches_and_standing_still_teaches_nothing() -> None:
    along = frame_of((0, 0, 0.25), (0.5, 0, 0.25), ((0.05, 0, 0), (0.05, 0, 0)))
    assert after(Attach(), along, 6) > 0.95
    left = frame_of((0, 0, 0.25), (0.5, 0, 0.25), ((0.05, 0, 0), (0, 0, 0)))
    assert after(Attach(), left, 6) < 0.01
    still = Attach().log_evidence(frame_of((0, 0, 0.25), (0.5, 0, 0.25)))
    assert float(still[0]) == 0.0


def test_a_thing_that_friction_takes_along_need_not_be_attached() -> None:
    yes, no = torch.tensor([True]), torch.tensor([False])
    both = ((0.05, 0, 0), (0.05, 0, 0))
    above, before_it, behind_it = (
        frame_of((0, 0, 0.25), place, both) for place in ((0, 0, 0.75), (0.5, 0, 0.25), (-0.5, 0, 0.25))
    )
    carried = after(Attach(), replace(above, carried=yes, touching=yes), 60)
    assert carried == pytest.approx(after(Attach(), frame_of((0, 0, 0.25), (0, 0, 0.75)), 60), abs=1e-6)
    assert after(Attach(), replace(before_it, carried=no, touching=yes), 60) < 0.05  # pushed
    assert after(Attach(), replace(behind_it, carried=no, touching=yes), 6) > 0.95  # pulled
    falling = frame_of((0, 0, 2.0), (0.5, 0, 2.0), ((0, 0, -0.05), (0, 0, -0.05)))
    assert after(Attach(), falling, 60) < 0.05
    left = frame_of((0, 0, 0.25), (0, 0, 0.75), ((0.05, 0, 0), (0, 0, 0)))
    assert after(Attach(), replace(left, carried=yes, touching=yes), 6) < 0.01


def test_what_rests_on_a_lift_that_sinks_slowly_is_not_pulled_down_by_it() -> None:
    down = (0, 0, -0.0075)  # 0.15 m/s: no fall yet, and faster than a belief shakes
    lift = frame_of((0, 0, 0.25), (0, 0, 0.75), (down, down))
    on_it = replace(lift, carried=torch.tensor([False]), touching=torch.tensor([True]))
    assert float(Attach().log_evidence(lift)) > 0.1
    assert float(Attach().log_evidence(on_it)) <= 0.0


def test_the_own_command_to_hold_and_to_release_counts() -> None:
    assert after(Attach(), frame_of((0, 0, 0.25), (0.5, 0, 0.25), command=1.0), 8) > 0.8
    assert float(Attach().log_evidence(frame_of((0, 0, 0.25), (0.5, 0, 0.25), command=-1.0))[0]) < 0.0
    told, untold = (
        abs(float(Attach().log_evidence(frame_of((0, 0, 0.25), (0.5, 0, 0.25), command=c)))) for c in (1, -1)
    )
    assert untold > told  # to let go always succeeds, to take hold does not


def test_an_edge_out_of_sight_returns_to_its_stationary_odds() -> None:
    prior = EdgePrior(log_odds=0.0, appear_per_s=1.0, vanish_per_s=3.0)
    late = after_waiting(np.array([5.0, 0.0, -5.0]), prior, 100.0)
    np.testing.assert_allclose(late, np.log(1.0 / 3.0))  # a quarter of the time it is there
    many = odds = np.array([5.0, 0.0, -5.0])
    for _ in range(100):
        many = after_waiting(many, prior, 0.007)
    np.testing.assert_allclose(after_waiting(odds, prior, 0.7), many)  # one long look or many short ones
    np.testing.assert_array_equal(after_waiting(odds, EdgePrior(0.0, 0.0, 0.0), 5.0), odds)
    p = 1 / (1 + np.exp(-after_waiting(np.array([3.0]), prior, 1e-3)))
    assert float(p[0]) == pytest.approx(1 / (1 + np.exp(-3.0)), abs=4e-3)


def test_permuting_the_candidates_changes_no_edge() -> None:
    rng = np.random.default_rng(0)
    ids = np.sort(rng.choice(100, (20, 2), replace=False), axis=1)

    class Listener(Contact):
        def log_evidence(self, frame: PairFrame) -> torch.Tensor:
            return frame.source_std_m  # stands for any evidence: one number a pair

    def frame(order: np.ndarray) -> PairFrame:
        one = torch.zeros(20, 3, dtype=DTYPE)
        states = ObjectStates.at_rest(one, one + 0.5)
        value = torch.tensor(np.linspace(-1, 1, 20)[order])
        return PairFrame(states, states, states, states, value, value, 0.05, value)

    order = rng.permutation(20)
    a = infer(EdgeTable.empty(), [Evidence(0, Listener(), ids, frame(np.arange(20)))])
    b = infer(EdgeTable.empty(), [Evidence(0, Listener(), ids[order], frame(order))])
    assert np.array_equal(a.keys(), b.keys())
    assert np.allclose(a.log_odds, b.log_odds)


def test_the_dead_leave_no_edges() -> None:
    table = infer(
        EdgeTable.empty(), [Evidence(0, Contact(), np.array([[1, 2]]), frame_of((0, 0, 0.25), (0.5, 0, 0.25)))]
    )
    assert len(without(table, np.array([2])).source) == 0


@pytest.mark.parametrize("crowd", [False, True])  # of things of like size, most of which move
def test_candidates_are_exactly_the_near_pairs_with_a_mover(crowd: bool) -> None:
    rng = np.random.default_rng(3)
    n = 60
    position = rng.uniform(-4, 4, (n, 3))
    yaw = rng.uniform(-3, 3, n)
    orientation = np.stack([np.zeros(n), np.zeros(n), np.sin(yaw / 2), np.cos(yaw / 2)], axis=1)
    extent = rng.uniform(0.6, 0.8, (n, 3)) if crowd else rng.uniform(0.2, 0.8, (n, 3))
    movable = rng.random(n) < (0.8 if crowd else 0.5)
    if not crowd:
        extent[:3] = (9.0, 0.2, 3.0)  # walls
    movable[:3] = False
    pairs, gap = candidate_pairs(position, orientation, extent, movable, 0.1)
    assert len(pairs) > 3
    every = np.array([(i, j) for i in range(n) for j in range(i + 1, n) if movable[i] or movable[j]])
    all_gaps = box_gap(position, orientation, extent, every)
    radius, (i, j) = 0.5 * np.linalg.norm(extent, axis=1), every.T
    spheres = np.linalg.norm(position[i] - position[j], axis=1) - radius[i] - radius[j]
    expected = every[(all_gaps < 0.1) & (spheres < 0.1)]
    assert {tuple(p) for p in pairs} == {tuple(p) for p in expected}
    assert (gap < 0.1).all()


def test_the_gap_of_two_boxes_is_the_best_separation_along_their_face_normals() -> None:
    rng = np.random.default_rng(5)
    position, extent = rng.uniform(-2, 2, (20, 3)), rng.uniform(0.2, 1.5, (20, 3))
    turn = Rotation.random(20, rng)
    pairs = np.array([(i, j) for i in range(20) for j in range(i)])
    signs = np.array(np.meshgrid(*[(-0.5, 0.5)] * 3)).reshape(3, 8).T
    corners = np.einsum("nab,nkb->nka", turn.as_matrix(), signs * extent[:, None]) + position[:, None]
    expected = []
    for i, j in pairs:
        along = [np.stack([corners[i] @ n, corners[j] @ n]) for n in [*turn.as_matrix()[i].T, *turn.as_matrix()[j].T]]
        expected.append(max(max(b.min() - a.max(), a.min() - b.max()) for a, b in along))
    assert np.allclose(box_gap(position, turn.as_quat(), extent, pairs), expected, atol=1e-12)


def test_the_export_is_a_multigraph_with_a_key_a_kind() -> None:
    table = infer(
        EdgeTable.empty(), [Evidence(0, Contact(), np.array([[1, 2]]), frame_of((0, 0, 0.25), (0.5, 0, 0.25)))]
    )
    graph = as_graph(table, ("contact",), (1, 2, 3), ("a", "b", "c")).to_networkx(threshold=0.0)
    assert set(graph.nodes) == {1, 2, 3}
    assert list(graph.edges(keys=True)) == [(1, 2, "contact")]
    assert 0.0 < graph.edges[1, 2, "contact"]["p"] < 1.0
