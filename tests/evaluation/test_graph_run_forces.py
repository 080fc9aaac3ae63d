"""Springs and magnets are inferred from measured places alone, and judged beside the other kinds."""

from __future__ import annotations

import dataclasses

import numpy as np

from tests.evaluation.test_graph_scoring import LOG, edges, log_with
from worldsim.evaluation.graph_run import judge
from worldsim.evaluation.graph_run_forces import ForceWatch, Things, with_forces

DT_S, SUBSTEPS, NOISE_M = 0.05, 12, 2e-3
SPRINGS = {(10, 11): 2.0, (11, 13): 2.0}


def _moving(frames: int) -> list[Things]:
    """Return five things on a plane, two springs among four of them, and a wall far away."""
    rng = np.random.default_rng(0)
    place = np.array([[0.0, 0.0], [1.0, 0.1], [0.1, 1.1], [1.2, 1.0]])
    velocity = rng.normal(0.0, 0.2, (4, 2))
    found = []
    for frame in range(frames):
        position = np.zeros((5, 3))
        position[:4, :2] = place + NOISE_M * rng.standard_normal((4, 2))
        position[4, :2] = (9.0, 9.0)
        ids, still = np.array([10, 11, 12, 13, 20]), np.array([True, True, True, True, False])
        upright = np.tile([0.0, 0.0, 0.0, 1.0], (5, 1))
        found.append(Things(ids, position, upright, np.full((5, 3), 0.1), still, frame * DT_S))
        for _ in range(SUBSTEPS):
            force = np.zeros((4, 2))
            for (a, b), stiffness in SPRINGS.items():
                pull = stiffness * (place[b - 10] - place[a - 10])
                force[a - 10] += pull
                force[b - 10] -= pull
            velocity = velocity + DT_S / SUBSTEPS * force
            place = place + DT_S / SUBSTEPS * velocity
    return found


def test_springs_between_things_are_found_from_where_they_were_measured() -> None:
    watch = ForceWatch()
    for things in _moving(48):
        said = watch.see(things)
    springs = {pair for pair, p in said["spring"].items() if p > 0.5}
    assert springs == set(SPRINGS)
    assert all(20 not in pair for pair in said["spring"])  # what cannot move is no node


def test_it_starts_anew_when_things_appear() -> None:
    watch = ForceWatch()
    frames = _moving(12)
    for things in frames[:10]:
        watch.see(things)
    one_more = dataclasses.replace(frames[10], object_id=np.array([10, 11, 12, 14, 20]))
    assert watch.see(one_more) == {}


def test_what_bears_another_or_is_borne_is_left_out_for_good() -> None:
    watch = ForceWatch()
    for number, things in enumerate(_moving(48)):
        said = watch.see(dataclasses.replace(things, borne=frozenset({12}) if number == 3 else frozenset()))
    assert {pair for pair, p in said["spring"].items() if p > 0.5} == set(SPRINGS)
    assert all(12 not in pair for pair in said["spring"])


def test_things_that_touch_are_struck_and_others_are_not() -> None:
    things = _moving(1)[0]
    near = things.position.copy()
    near[1] = near[0] + [0.105, 0.0, 0.0]
    assert dataclasses.replace(things, position=near).struck(DT_S).tolist() == [True, True, False, False, False]


def test_a_scenario_without_forces_is_judged_as_before() -> None:
    judged = judge(log_with(edges()))
    assert with_forces(LOG, judged) == judged


def test_forces_of_the_scenario_are_part_of_what_is_there() -> None:
    log = log_with(edges(), forces=(("crate-1", "pallet-1", "spring", 1.0), ("robot", "door", "weld", 1.0)))
    judged = with_forces(log, judge(log))
    assert judged[0].there["spring"] == {("crate-1", "pallet-1")}
    assert "charge" not in judged[0].there
