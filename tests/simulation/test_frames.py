"""What a frame need not do is left out of it, and changes nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from tests.simulation.stage import Stage, box, position_of
from worldsim.errors import SimulationError
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.cast import Cast, Eyes
from worldsim.simulation.drivers.driver import Actuator, Driver, SceneView
from worldsim.simulation.engine import StateArrays
from worldsim.simulation.geometry import cross_rows
from worldsim.simulation.scene import CameraSpec

BOUNCY = Stage(
    (box("robot", (0.0, 0.0, 0.2), restitution=1.0), box("stone", (0.0, 0.0, 0.9), edge=0.2, restitution=0.9)),
    ego="robot",
)


def test_a_bump_within_a_frame_is_told_where_it_is_noted_and_the_motion_is_the_same() -> None:
    runs = []
    for notes_touches in (True, False):
        physics = BulletPhysics()
        physics.notes_touches = notes_touches
        physics.reset(BOUNCY, seed=0)
        heights, touches = [], 0
        for _ in range(30):
            physics.step(None)
            heights.append(position_of(physics, "stone")[2])
            touches += ("robot", "stone") in {pair[:2] for pair in physics.truth().contacts}
        runs.append((heights, touches))
        physics.close()
    (noted_heights, noted), (heights, at_the_end) = runs
    assert noted_heights == heights
    assert noted > at_the_end  # the stone is up again before the frame ends


class _Sleeper(Driver):
    """Lifts its body in every other frame."""

    def __init__(self, body: str) -> None:
        super().__init__(body)
        self.frames, self.driven = 0, 0

    def decide(self, view: SceneView, rng: np.random.Generator) -> None:
        self.frames += 1

    @property
    def acts(self) -> bool:
        return self.frames % 2 == 0

    def drive(self, actuator: Actuator) -> None:
        self.driven += 1


def test_a_driver_that_decided_to_do_nothing_is_not_called(physics: BulletPhysics) -> None:
    physics.reset(Stage((box("crate", (0.0, 0.0, 0.2)),), lambda rng: (_Sleeper("crate"),)), seed=0)
    for _ in range(4):
        physics.step(None)
    (sleeper,) = physics.drivers
    assert isinstance(sleeper, _Sleeper)
    assert (sleeper.frames, sleeper.driven) == (4, 2 * physics.substeps)


def test_a_state_is_read_anew_after_every_engine_step_and_after_coming_back(physics: BulletPhysics) -> None:
    physics.reset(Stage((box("stone", (0.0, 0.0, 5.0)),)), seed=0)
    before = physics.state("stone")
    assert physics.state("stone") is before
    token = physics.snapshot()
    physics.engine.advance()
    assert physics.state("stone").position[2] < before.position[2]
    physics.restore(token)
    assert physics.state("stone") == before


def test_a_carried_eye_turns_with_its_body() -> None:
    crate, half_turn = box("crate", (0.0, 0.0, 0.0)), (0.0, 0.0, 1.0, 0.0)
    cameras = (CameraSpec("wall", (9.0, 9.0, 2.0), 5.0), CameraSpec("own", (0.5, 0.0, 1.0), 8.0, mounted_on="crate"))
    eyes = Eyes.of(cameras, {"crate": 0})
    still = np.zeros((1, 3))
    found = eyes.viewpoints(StateArrays(np.array([[1.0, 2.0, 3.0]]), np.array([half_turn]), still, still))
    np.testing.assert_allclose(found.position, [(9.0, 9.0, 2.0), (0.5, 2.0, 4.0)])
    assert found.range_m.tolist() == [5.0, 8.0]
    cast = Cast.of((box("floor", (0.0, 0.0, -1.0)), crate), (1,))
    assert cast.rows_without(frozenset()).tolist() == [1]
    assert cast.rows_without(frozenset({"crate"})).tolist() == []


def test_velocities_that_a_detector_does_not_read_are_in_the_truth_all_the_same(physics: BulletPhysics) -> None:
    physics.reset(Stage((box("robot", (0.0, 0.0, 0.2)), box("stone", (2.0, 0.0, 5.0))), ego="robot"), seed=0)
    physics.step(None)
    truth = physics.truth()
    np.testing.assert_allclose(truth.linear_velocity[truth.names.index("stone"), 2], -9.81 * physics.frame_s)
    assert np.isfinite(truth.angular_velocity).all()


def test_the_cross_product_of_rows_is_numpys() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 4, 5, 3))
    np.testing.assert_array_equal(cross_rows(a[:, :1], b), np.cross(a[:, :1], b))


def test_a_body_that_is_lost_is_named(physics: BulletPhysics) -> None:
    physics.reset(Stage((box("stone", (0.0, 0.0, 5.0)), box("crate", (3.0, 0.0, 0.2)))), seed=0)
    physics.withdraw("stone", (float("nan"), 0.0, 5.0))
    with pytest.raises(SimulationError, match=r"\['stone'\] is no longer finite"):
        physics.step(None)


@pytest.mark.parametrize(("asked_s", "steps"), [(0.05, 12), (0.02, 5), (0.01, 2), (0.002, 1)])
def test_a_frame_lasts_as_long_as_its_engine_steps(asked_s: float, steps: int) -> None:
    physics = BulletPhysics(frame_s=asked_s)
    assert (physics.substeps, physics.frame_s) == (steps, pytest.approx(steps / 240.0))
    physics.reset(Stage((box("stone", (0.0, 0.0, 5.0), edge=0.2),), ego=None), seed=0)
    heights = [position_of(physics, "stone")[2]]
    for _ in range(6):
        physics.step(None)
        heights.append(position_of(physics, "stone")[2])
    assert physics.truth().time_s == pytest.approx(6 * steps / 240.0)
    fall = np.diff(heights, 2) / physics.frame_s**2
    np.testing.assert_allclose(fall, -9.81, rtol=0.02)  # what positions and times say of gravity
    physics.close()
