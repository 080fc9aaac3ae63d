"""What one frame of velocities tells of each kind of joint: yes to its own picture, no to what it holds fast."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from worldsim.contracts import PairFrame
from worldsim.interactions.ball_joint import BallJoint
from worldsim.interactions.hinge import Hinge
from worldsim.interactions.kinematic import (
    RATE_NOISE_RAD_S,
    RATE_STD_RAD_S,
    SPEED_STD_M_S,
    KinematicKind,
    relative_velocity,
)
from worldsim.interactions.slider import Slider
from worldsim.interactions.weld import Weld
from worldsim.types import ObjectStates

DT_S, STD_M = 0.05, 1e-3
Triple = tuple[float, float, float]
STILL: Triple = (0.0, 0.0, 0.0)
QUARTER: tuple[float, ...] = (0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5))  # about z


def frame(
    velocity: Triple, spin: Triple, source_velocity: Triple = STILL, source_spin: Triple = STILL, turned: bool = False
) -> PairFrame:
    """A source at the origin and a target one metre along x, with their twists in the world's frame."""

    def at(place: Triple, linear: Triple, angular: Triple) -> ObjectStates:
        row = [torch.tensor([values], dtype=torch.float64) for values in (place, linear, angular)]
        facing = torch.tensor([QUARTER if turned else (0.0, 0.0, 0.0, 1.0)], dtype=torch.float64)
        return ObjectStates(row[0], facing, row[1], row[2], torch.full_like(row[0], 0.2))

    source, target = at(STILL, source_velocity, source_spin), at((1.0, 0.0, 0.0), velocity, spin)
    std = torch.full((1,), STD_M, dtype=torch.float64)
    return PairFrame(source, target, source, target, std, std, DT_S, torch.zeros(1, dtype=torch.float64))


def nats(kind: KinematicKind, seen: PairFrame) -> float:
    return float(kind.log_evidence(seen))


def test_a_relative_velocity_is_what_an_observer_on_the_source_sees() -> None:
    # the source turns once a second about z: what rides along, a metre off, has no velocity to it
    velocity, rate = relative_velocity(frame((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), source_spin=(0.0, 0.0, 1.0)))
    assert velocity[0].tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)
    assert rate[0].tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)
    velocity, rate = relative_velocity(frame((0.0, 2.0, 0.0), (3.0, 0.0, 0.0), turned=True))  # along its own x, from y
    assert velocity[0].tolist() == pytest.approx([2.0, 0.0, 0.0], abs=1e-12)
    assert rate[0].tolist() == pytest.approx([0.0, -3.0, 0.0], abs=1e-12)


def test_what_rides_along_on_a_turning_thing_is_welded_and_what_stays_or_spins_is_not() -> None:
    turning: Triple = (0.0, 0.0, 1.0)
    assert nats(Weld(), frame((0.0, 1.0, 0.0), turning, source_spin=turning)) > 1.0
    assert nats(Weld(), frame(STILL, STILL, source_spin=turning)) < -1.0
    assert nats(Weld(), frame((1.0, 0.0, 0.0), (0.0, 0.0, 3.0), source_velocity=(1.0, 0.0, 0.0))) < -1.0  # in place
    assert nats(Weld(), frame(STILL, STILL)) == 0.0  # of two that stand nothing is learned


def test_a_drawer_slides_without_turning() -> None:
    pulled: Triple = (1.0, 0.0, 0.0)
    rate: Triple = (0.4, -0.3, 0.4)
    wide = math.hypot(RATE_NOISE_RAD_S, RATE_STD_RAD_S)
    by_hand = sum(stats.norm.logpdf(r, 0.0, RATE_NOISE_RAD_S) - stats.norm.logpdf(r, 0.0, wide) for r in rate)
    assert nats(Slider(), frame(pulled, STILL)) > 1.0
    assert nats(Slider(), frame(pulled, rate)) == pytest.approx(by_hand, rel=1e-9)
    assert nats(Slider(), frame(STILL, STILL)) == 0.0


@pytest.mark.parametrize("kind", [Hinge(), BallJoint()], ids=["hinge", "ball joint"])
def test_a_door_turns_about_its_edge_and_does_not_rise_along_it(kind: KinematicKind) -> None:
    turning: Triple = (0.0, 0.0, 2.0)
    assert nats(kind, frame((0.0, 1.0, 0.0), turning)) > 1.0
    assert nats(kind, frame((0.0, 1.0, 0.5), turning)) < -1.0
    noise = math.sqrt(2.0) * STD_M / DT_S  # of a speed, from where both are believed to be
    slip, wide = 0.06, math.hypot(noise, SPEED_STD_M_S)
    by_hand = stats.norm.logpdf(slip, 0.0, noise) - stats.norm.logpdf(slip, 0.0, wide)
    assert nats(kind, frame((0.0, 1.0, slip), turning)) == pytest.approx(by_hand, rel=1e-6)
    assert nats(kind, frame((0.0, 1.0, 0.0), STILL)) == pytest.approx(0.0, abs=1e-9)  # without a turn: nothing
