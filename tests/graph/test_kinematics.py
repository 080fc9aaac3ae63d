"""The filter over joints: worked by hand, against closed forms, and honest where nothing moves."""

from __future__ import annotations

import math

import pytest
import torch

from worldsim.dynamics import quaternion
from worldsim.errors import ConfigurationError, ObservationError, UnknownNameError
from worldsim.graph.kinematics import FREE, JointPosterior, KinematicFilter
from worldsim.graph.kinematics.bingham import likeliest_axis, log_mean_over_axes
from worldsim.interactions.ball_joint import BallJoint
from worldsim.interactions.hinge import Hinge
from worldsim.interactions.slider import Slider
from worldsim.interactions.weld import Weld

P_STD, R_STD, DT_S = 5e-4, math.radians(0.1), 1.0 / 60.0
TRUTHS = ("free", "still", "hinge", "slider", "ball_joint")
AXIS = torch.tensor([0.36, 0.48, 0.8], dtype=torch.float64)
LEVER = torch.tensor([0.3, -0.1, 0.05], dtype=torch.float64)
PLACE = torch.tensor([0.2, 0.3, -0.1], dtype=torch.float64)

Poses = list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]


def scene(frames: int = 110, seed: int = 0) -> Poses:
    """One pair of each truth; targets rest for half a second, then swing."""
    rng = torch.Generator().manual_seed(seed)

    def noise(std: float) -> torch.Tensor:
        return std * torch.randn(len(TRUTHS), 3, generator=rng, dtype=torch.float64)

    one = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64).expand(len(TRUTHS), 4)
    poses = []
    for frame in range(frames):
        t = max(0.0, (frame - 30) * DT_S)
        swing, other = 0.6 * math.sin(3.0 * t) * t, 0.5 * (1.0 - math.cos(4.0 * t))
        any_turn = torch.tensor([swing, other, 0.7 * swing * other], dtype=torch.float64)
        turn, place = torch.zeros(5, 3, dtype=torch.float64), PLACE.repeat(5, 1)
        turn[0], turn[2], turn[4] = any_turn, AXIS * swing, any_turn
        place[0] = place[0] + torch.tensor([other, swing, 0.4 * t * t], dtype=torch.float64)
        place[3] = place[3] + AXIS * 0.3 * swing
        for row in (2, 4):
            place[row] = place[row] - LEVER + quaternion.rotate(quaternion.exp(turn[row]), LEVER)
        seen = (quaternion.multiply(quaternion.exp(noise(R_STD)), q) for q in (one, quaternion.exp(turn)))
        poses.append((noise(P_STD), next(seen), place + noise(P_STD), next(seen)))
    return poses


def inferred(poses: Poses) -> JointPosterior:
    graph = KinematicFilter([Weld(), Hinge(), Slider(), BallJoint()])
    count = len(poses[0][0])
    variances = torch.tensor([P_STD**2] * 3 + [R_STD**2] * 3, dtype=torch.float64)
    covariance = torch.diag(variances).expand(count, 6, 6)
    for pose in poses:
        graph.observe(*pose, covariance, covariance, DT_S)
    return graph.posterior()


@pytest.fixture(scope="module")
def posterior() -> JointPosterior:
    return inferred(scene())


def test_an_axis_of_no_preference_integrates_to_one_and_a_known_form_to_its_closed_form() -> None:
    equal = torch.eye(3, dtype=torch.float64) * 4.0
    assert float(log_mean_over_axes(equal)) == pytest.approx(2.0, abs=1e-9)  # a'Ba / 2 is 2 for every axis
    girdle = torch.diag(torch.tensor([0.0, 0.0, 3.0], dtype=torch.float64))
    # E exp(1.5 u^2), u uniform on [0, 1], by the series of the integral
    series = sum(1.5**k / (math.factorial(k) * (2 * k + 1)) for k in range(40))
    assert float(log_mean_over_axes(girdle)) == pytest.approx(math.log(series), abs=1e-3)
    sharp = torch.diag(torch.tensor([0.0, 0.0, 1e8], dtype=torch.float64))
    # Laplace: exp(c/2) / c for a form c along one axis (both ends of it); the next term is of order 1/c
    assert float(log_mean_over_axes(sharp)) == pytest.approx(0.5e8 - math.log(1e8), abs=1e-3)
    axis, covariance = likeliest_axis(sharp)
    assert axis.abs().tolist() == pytest.approx([0.0, 0.0, 1.0])
    assert float(covariance[0, 0]) == pytest.approx(1e-8)


def test_each_motion_is_told_by_its_own_kind(posterior: JointPosterior) -> None:
    assert posterior.names() == ["free", "not identifiable yet", "hinge", "slider", "ball_joint"]


def test_where_nothing_moves_every_probability_stays_at_its_prior(posterior: JointPosterior) -> None:
    assert torch.allclose(posterior.log_probability[1], posterior.log_prior, atol=1e-12)
    assert not bool(posterior.identifiable[1])
    assert not bool(posterior.stirred[1])


def test_axis_point_state_and_limits_are_those_of_the_motion(posterior: JointPosterior) -> None:
    for kind, row in (("hinge", 2), ("slider", 3)):
        number = posterior.axis_row(kind)
        assert number is not None
        axis = posterior.axes[number, row]
        error = math.acos(min(1.0, abs(float(axis @ AXIS))))
        spread = math.sqrt(float(posterior.axis_covariance[number, row].trace()))
        assert error < 4.0 * spread < math.radians(3.0)
        assert float(posterior.lower[number, row]) <= float(posterior.state[number, row]) + 1e-9
        assert float(posterior.upper[number, row] - posterior.lower[number, row]) > 0.1
    off = posterior.point[2] - (PLACE - LEVER)
    across = off - AXIS * float(off @ AXIS)  # along a hinge's axis the point is not determined
    assert float(across.norm()) < 0.005
    assert float((posterior.point[4] - (PLACE - LEVER)).norm()) < 0.005


def test_a_cone_holds_the_error_of_the_frame_from_which_its_axis_is_seen(posterior: JointPosterior) -> None:
    frames = 9  # of the source at rest, averaged: two directions, each known to a ninth of a detection's variance
    for row in (0, 1):
        spread = posterior.axis_covariance[row].diagonal(dim1=-2, dim2=-1).sum(-1)
        assert bool((spread >= 2.0 * R_STD**2 / frames * (1.0 - 1e-6)).all())


def test_turning_the_world_and_renaming_the_pairs_changes_no_probability(posterior: JointPosterior) -> None:
    turn = quaternion.exp(torch.tensor([0.4, -1.1, 0.7], dtype=torch.float64))
    order = torch.tensor([3, 0, 4, 2, 1])
    turned = [
        tuple(
            (quaternion.rotate(turn, part) if part.shape[-1] == 3 else quaternion.multiply(turn.expand_as(part), part))[
                order
            ]
            for part in pose
        )
        for pose in scene()
    ]
    again = inferred(turned)  # type: ignore[arg-type]
    assert torch.allclose(again.probability, posterior.probability[order], atol=1e-5)


def test_the_graph_lists_every_kind_but_free_with_its_probability(posterior: JointPosterior) -> None:
    graph = posterior.graph([10, 11, 12, 13, 14], [20, 21, 22, 23, 24]).to_networkx(0.5)
    assert sorted((a, b, kind) for a, b, kind in graph.edges(keys=True)) == [
        (12, 22, "hinge"), (13, 23, "slider"), (14, 24, "ball_joint"),
    ]  # fmt: skip


def test_what_cannot_work_is_refused(posterior: JointPosterior) -> None:
    with pytest.raises(ConfigurationError, match="distinct"):
        KinematicFilter([Hinge(), Hinge()])
    with pytest.raises(UnknownNameError, match="slider"):
        posterior.of("sliding")
    assert posterior.axis_row(FREE) is None


@pytest.mark.parametrize(
    ("part", "value", "dt_s", "message"),
    [
        (2, math.nan, DT_S, "target pose of pair 2 is not finite"),
        (1, 0.0, DT_S, "source pose of pair 2 .* no unit quaternion"),
        (0, None, 0.0, "dt_s is 0.0"),
    ],
)
def test_a_frame_that_cannot_be_read_is_refused_and_forgotten(
    part: int, value: float | None, dt_s: float, message: str
) -> None:
    poses = scene()[:40]
    covariance = torch.diag(torch.tensor([P_STD**2] * 3 + [R_STD**2] * 3, dtype=torch.float64))
    covariance = covariance.expand(len(poses[0][0]), 6, 6)
    found = []
    for spoilt in (False, True):
        graph = KinematicFilter([Weld(), Hinge()])
        for frame, pose in enumerate(poses):
            if spoilt and frame == 20:
                broken = [p.clone() for p in pose]
                if value is not None:
                    broken[part][2] = value
                with pytest.raises(ObservationError, match=message):
                    graph.observe(*broken, covariance, covariance, dt_s)
            graph.observe(*pose, covariance, covariance, DT_S)
        found.append(graph.posterior().probability)
    assert torch.equal(*found)


def test_what_was_not_seen_says_nothing_and_must_not_be_the_reference() -> None:
    poses, variances = scene()[:60], torch.tensor([P_STD**2] * 3 + [R_STD**2] * 3, dtype=torch.float64)
    count = len(poses[0][0])
    covariance = torch.diag(variances).expand(count, 6, 6)
    seen = torch.ones(count, dtype=torch.bool)
    seen[2] = False
    found = []
    for nothing in (0.0, math.nan):
        graph = KinematicFilter([Weld(), Hinge(), Slider(), BallJoint()])
        for frame, pose in enumerate(poses):
            if frame == 40:
                blank = tuple(torch.where(seen[:, None], p, torch.full_like(p, nothing)) for p in pose)
                graph.observe(*blank, covariance, covariance, DT_S, seen)
            else:
                graph.observe(*pose, covariance, covariance, DT_S)
        found.append(graph.posterior().probability)
    assert torch.equal(*found)
    with pytest.raises(ConfigurationError, match="not seen in frame 0; the first"):
        KinematicFilter([Weld()]).observe(*poses[0], covariance, covariance, DT_S, seen)
