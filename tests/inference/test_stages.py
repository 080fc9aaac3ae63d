"""The stages of a step, each by itself."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.optimize import linear_sum_assignment

from worldsim.errors import ObservationError
from worldsim.filtering.correct import Innovation
from worldsim.inference.associate import _assign, associate
from worldsim.inference.lifecycle import existence_after
from worldsim.inference.observe import admit, read
from worldsim.inference.sensor_model import SensorModel
from worldsim.inference.surprise import accumulate, appearance_surprisal, pose_surprise
from worldsim.inference.visibility import visible
from worldsim.types import Detections, EgoState, ObjectStates, Observation, Viewpoints

DTYPE = torch.float64
RNG_SEED = 5


def detections(position: np.ndarray, *, extent: float = 0.4, look: float = 0.5) -> Detections:
    n = len(position)
    upright = np.tile([0.0, 0.0, 0.0, 1.0], (n, 1))
    covariance = np.tile(np.diag([1e-4] * 3 + [1e-3] * 3), (n, 1, 1))
    return Detections(
        position, upright, np.full((n, 3), extent), np.full((n, 3), 0.5), np.full((n, 12), look), covariance
    )


def matched(position: np.ndarray, seen: Detections, manoeuvre_m: float | np.ndarray = 0.1) -> np.ndarray:
    n = len(position)
    return associate(
        position,
        np.tile(1e-4 * np.eye(3), (n, 1, 1)),
        np.full((n, 3), 0.4),
        np.full((n, 12), 0.5),
        np.ones(n, dtype=bool),
        seen,
        np.broadcast_to(manoeuvre_m, n),
    )


def test_shuffled_detections_find_their_objects() -> None:
    rng = np.random.default_rng(RNG_SEED)
    here = rng.uniform(-5, 5, (30, 3))
    order = rng.permutation(30)
    found = matched(here, detections(here[order] + rng.normal(0, 0.01, (30, 3))))
    assert np.array_equal(order[found], np.arange(30))


def test_a_detection_far_from_everything_is_nobodys() -> None:
    found = matched(np.zeros((1, 3)), detections(np.array([[3.0, 0, 0]])))
    assert found.tolist() == [-1]


def test_what_looks_different_loses_to_what_looks_alike() -> None:
    here = np.array([[0.0, 0, 0]])
    seen = detections(np.array([[0.05, 0, 0], [0.06, 0, 0]]))
    look = seen.appearance.copy()
    look[0] = 0.9
    found = matched(
        here, Detections(seen.position, seen.orientation_xyzw, seen.extent_m, seen.colour, look, seen.covariance)
    )
    assert found.tolist() == [1]


def test_a_velocity_from_two_looks_is_not_held_against_whom_it_was_mistaken_for() -> None:
    # two people in file, 0.7 m apart, 0.5 m a frame: the first look at the second was taken for the first
    misled, newborn = np.array([-0.6, 0.0, 0.0]), np.array([0.0, -0.5, 0.0])
    seen = detections(np.array([[0.1, -0.6, 0.0], [0.15, -1.1, 0.0]]))
    found = matched(np.stack([misled, newborn]), seen, np.array([0.6, 0.6]))
    assert found.tolist() == [0, 1]
    sure_of_itself = matched(np.stack([misled, newborn]), seen, np.array([0.1, 0.6]))
    assert sure_of_itself.tolist() != [0, 1]


def test_the_sparse_assignment_costs_no_more_than_the_dense_one() -> None:
    rng = np.random.default_rng(RNG_SEED)
    for _ in range(20):
        rows, columns, miss = 12, 15, 45.0  # half of both gates, where all pairs are equally wide
        dense = np.where(rng.random((rows, columns)) < 0.4, rng.uniform(-20.0, 39.0, (rows, columns)), np.inf)
        row, column = np.nonzero(np.isfinite(dense))
        mine, theirs = _assign(row, column, dense[row, column], np.zeros(len(row)), rows, columns)
        found = dense[mine, theirs].sum() + miss * (rows - len(mine))
        padded = np.concatenate([np.where(np.isfinite(dense), dense, 1e6), np.full((rows, rows), miss)], axis=1)
        best = padded[linear_sum_assignment(padded)].sum()
        assert found == pytest.approx(best, abs=1e-9)
        assert len(set(theirs.tolist())) == len(theirs)


def test_clutter_beside_a_missed_thing_is_not_taken_for_it() -> None:
    found = matched(np.zeros((1, 3)), detections(np.array([[0.3, 0, 0.1]]), extent=1.4, look=0.9))
    assert found.tolist() == [-1]


def test_no_detections_match_nothing() -> None:
    assert matched(np.zeros((2, 3)), Detections.empty()).tolist() == [-1, -1]


def boxes(*position: tuple[float, float, float]) -> ObjectStates:
    here = torch.tensor(position, dtype=DTYPE)
    return ObjectStates.at_rest(here, torch.full_like(here, 0.5))


def test_a_box_behind_a_box_is_not_in_view_and_one_beside_it_is() -> None:
    states = boxes((2.0, 0, 0), (4.0, 0, 0), (4.0, 3.0, 0))
    asked = torch.tensor([1, 2])
    seen = visible(states, asked, torch.tensor([0]), torch.zeros(1, 3, dtype=DTYPE), torch.tensor([10.0], dtype=DTYPE))
    assert seen.tolist() == [False, True]


def test_nothing_is_in_view_beyond_the_range_and_all_is_without_viewpoints() -> None:
    states = boxes((4.0, 0, 0))
    asked, nobody = torch.tensor([0]), torch.tensor([], dtype=torch.int64)
    eye = torch.zeros(1, 3, dtype=DTYPE)
    assert visible(states, asked, nobody, eye, torch.tensor([3.0], dtype=DTYPE)).tolist() == [False]
    assert visible(states, asked, nobody, eye[:0], torch.zeros(0, dtype=DTYPE)).tolist() == [True]


def test_a_miss_in_plain_view_lowers_existence_and_a_hidden_one_does_not() -> None:
    half = torch.tensor([0.5, 0.5, 0.5], dtype=DTYPE)
    seen = torch.tensor([True, False, False])
    view = torch.tensor([True, True, False])
    near = torch.tensor([5.0, 0.0, 0.0], dtype=DTYPE)
    after = existence_after(half, seen, view, near, SensorModel())
    assert float(after[0]) > 0.99
    # by hand: 0.5 * 0.05 / (1 - 0.5 * 0.95); the probability is a float32 product
    assert float(after[1]) == pytest.approx(0.5 * 0.05 / (1 - 0.5 * 0.95), rel=1e-6)
    assert float(after[2]) == 0.5


def innovations(residual: torch.Tensor) -> Innovation:
    n = len(residual)
    covariance = torch.diag(torch.tensor([1e-4] * 3 + [4e-4] * 3, dtype=DTYPE)).repeat(n, 1, 1)
    return Innovation.of(residual, covariance)


def test_the_e_value_is_at_most_one_in_expectation_while_the_model_is_right() -> None:
    rng = np.random.default_rng(RNG_SEED)
    std = np.array([1e-2] * 3 + [2e-2] * 3)
    residual = torch.tensor(rng.standard_t(8, size=(200_000, 6)) * math.sqrt(6 / 8) * std)
    rare = torch.full((len(residual),), 1e-6, dtype=DTYPE)
    e = pose_surprise(innovations(residual), rare).log_e.exp()
    # Monte Carlo error of the mean, three standard errors
    assert float(e.mean()) < 1.0 + 3.0 * float(e.std()) / math.sqrt(len(e))


def test_false_alarms_are_rarer_than_promised() -> None:
    """200,000 frames of a right model: at W > exp(8) the mean time to a false alarm is at least 2,981 frames."""
    rng = np.random.default_rng(RNG_SEED)
    std = np.array([1e-2] * 3 + [2e-2] * 3)
    residual = torch.tensor(rng.normal(size=(2000, 100, 6)) * std)
    rare = torch.full((100,), 1e-6, dtype=DTYPE)
    value, alarms = torch.zeros(100, dtype=DTYPE), 0
    for frame in residual:
        value = accumulate(value, pose_surprise(innovations(frame), rare).log_e, torch.ones(100, dtype=torch.bool))
        alarms += int((value > 8.0).sum())
        value = torch.where(value > 8.0, torch.zeros_like(value), value)
    assert alarms <= 200_000 / math.exp(8.0)


def test_a_wrong_model_alarms_within_a_few_frames() -> None:
    residual = torch.tensor([[0.08, 0, 0, 0, 0, 0]], dtype=DTYPE)  # eight standard deviations, again and again
    value, rare = torch.zeros(1, dtype=DTYPE), torch.full((1,), 1e-6, dtype=DTYPE)
    frames = 0
    while float(value) < 18.0 and frames < 20:
        value = accumulate(value, pose_surprise(innovations(residual), rare).log_e, torch.tensor([True]))
        frames += 1
    assert frames <= 6


def test_one_push_beside_a_mover_is_no_evidence_and_many_are() -> None:
    far = torch.tensor([[0.3, 0, 0, 0, 0, 0]], dtype=DTYPE)
    once = pose_surprise(innovations(far), torch.tensor([0.05], dtype=DTYPE)).log_e
    assert 0.0 < float(once) <= math.log(1 / 0.05) + 1e-9


def test_what_is_not_usable_is_counted_and_the_rest_is_kept() -> None:
    seen = detections(np.array([[0.0, 0, 0], [1.0, 0, 0], [2.0, 0, 0]]))
    seen.position[1, 0] = np.nan
    frame = read(Observation(0.5, seen, Viewpoints.everywhere()), torch.device("cpu"), DTYPE)
    assert frame.rejected == 1
    assert frame.source_index.tolist() == [0, 2]


@pytest.mark.parametrize(("time_s", "message"), [(-0.1, "time runs forward"), (math.nan, "finite time")])
def test_time_that_runs_backwards_or_is_no_time_is_refused(time_s: float, message: str) -> None:
    observation = Observation(time_s, Detections.empty(), Viewpoints.everywhere())
    with pytest.raises(ObservationError, match=message):
        admit(observation, 0.0)


def ego(orientation: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)) -> EgoState:
    none = np.zeros(3)
    return EgoState(none, np.array(orientation), none, none, np.full(3, 0.5), 1e-4 * np.eye(6))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("position", [[0.0, 0.0, 0.0]], r"detections\.position is of type list, expected a numpy array"),
        ("position", torch.zeros(1, 3), r"detections\.position is of type Tensor"),
        ("extent_m", np.array([["1", "1", "1"]]), r"detections\.extent_m is of dtype <U1"),
        ("appearance", np.zeros((1, 16)), r"detections\.appearance has shape \(1, 16\), expected \(1, 12\)"),
        ("colour", None, r"detections\.colour is of type NoneType"),
    ],
)
def test_detections_that_are_no_arrays_of_their_shape_are_refused(field: str, value: object, message: str) -> None:
    seen = dataclasses.replace(detections(np.zeros((1, 3))), **{field: value})
    with pytest.raises(ObservationError, match=message):
        admit(Observation(0.5, seen, Viewpoints.everywhere()), 0.0)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("time_s", "0.5", "expected a number of seconds"),
        ("time_s", torch.tensor(0.5), "expected a number of seconds"),
        ("detections", None, r"observation\.detections is of type NoneType, expected a Detections"),
        (
            "viewpoints",
            Viewpoints(np.zeros((2, 3)), np.ones(1)),
            r"viewpoints\.range_m has shape \(1,\), expected \(2,\)",
        ),
        (
            "viewpoints",
            Viewpoints(np.zeros((2, 3)), np.ones(2), np.ones((2, 3))),
            r"viewpoints\.half_angle_rad is of type NoneType",
        ),
        ("viewpoints", Viewpoints(np.zeros(3), np.ones(1)), r"position has shape \(3,\), expected \(1, 3\)"),
        ("viewpoints", Viewpoints(np.zeros(0), np.ones(0)), r"position has shape \(0,\), expected \(0, 3\)"),
        ("ego", EgoState(*[np.zeros(2)] * 6), r"ego\.position has shape \(2,\), expected \(3,\)"),
    ],
)
def test_an_observation_of_other_parts_is_refused(part: str, value: object, message: str) -> None:
    good = Observation(0.5, detections(np.zeros((1, 3))), Viewpoints.everywhere(), ego())
    admit(good, 0.0)
    with pytest.raises(ObservationError, match=message):
        admit(dataclasses.replace(good, **{part: value}), 0.0)


def test_an_own_body_of_no_size_or_of_a_negative_variance_is_refused() -> None:
    for change in ({"extent_m": np.array([0.5, 0.5, 0.0])}, {"covariance": np.diag([1e-4] * 5 + [-1e-4])}):
        observation = Observation(
            0.5, Detections.empty(), Viewpoints.everywhere(), dataclasses.replace(ego(), **change)
        )
        frame = read(observation, torch.device("cpu"), DTYPE)
        assert (frame.ego, frame.ego_rejected) == (None, True)


def test_quaternions_are_brought_to_unit_length_and_what_is_none_is_refused() -> None:
    seen = detections(np.zeros((2, 3)))
    seen.orientation_xyzw[1] *= 1.004  # as float32 and a file leave it
    frame = read(Observation(0.5, seen, Viewpoints.everywhere(), ego()), torch.device("cpu"), DTYPE)
    assert frame.orientation_xyzw.norm(dim=-1).tolist() == pytest.approx([1.0, 1.0], abs=1e-12)
    assert (frame.rejected, frame.ego_rejected) == (0, False)
    for wrong in ((0.0, 0.0, 0.0, 1.5), (0.0, 0.0, 0.0, math.nan)):
        frame = read(Observation(0.5, seen, Viewpoints.everywhere(), ego(wrong)), torch.device("cpu"), DTYPE)
        assert frame.ego is None
        assert frame.ego_rejected


@pytest.mark.parametrize(
    ("first", "across", "usable"), [(0.0, 0.0, True), (1e-4, 5e-5, True), (-1e-4, 0.0, False), (1e-4, 5e-4, False)]
)
def test_odometry_may_be_exact_and_what_is_no_covariance_is_refused(first: float, across: float, usable: bool) -> None:
    covariance = np.diag([first, *[1e-4 if first else 0.0] * 5])
    covariance[0, 1] = covariance[1, 0] = across
    told = dataclasses.replace(ego(), covariance=covariance)
    frame = read(
        Observation(0.5, detections(np.zeros((1, 3))), Viewpoints.everywhere(), told), torch.device("cpu"), DTYPE
    )
    assert frame.ego_rejected is not usable


def test_a_viewpoint_that_is_nowhere_sees_nothing_and_one_without_a_limit_sees_on() -> None:
    eyes = Viewpoints(np.array([[0.0, 0.0, 5.0], [np.nan, 0.0, 5.0], [1.0, 0.0, 5.0]]), np.array([9.0, 9.0, np.inf]))
    frame = read(Observation(0.5, Detections.empty(), eyes), torch.device("cpu"), DTYPE)
    assert frame.faults == {"viewpoints": 1}
    here, everyone = boxes((0.0, 0.0, 0.0), (4000.0, 0.0, 0.0)), torch.tensor([0, 1])
    seen = [
        visible(here, everyone, everyone[:0], frame.viewpoint[k : k + 1], frame.range_m[k : k + 1]) for k in range(3)
    ]
    assert [s.tolist() for s in seen] == [[True, False], [False, False], [True, True]]


def test_a_camera_sees_what_lies_in_its_cone_and_one_whose_axis_is_not_known_sees_nothing() -> None:
    places = ((2.0, 0.0, 0.0), (2.0, 1.9, 0.0), (2.0, 2.1, 0.0), (-2.0, 0.0, 0.0), (0.0, 0.0, 3.0))
    axis = np.array([[3.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [np.nan, 0.0, 1.0], [0.0, 0.0, 0.0]])
    angle = np.array([np.pi / 4, 0.1, np.pi, 1.0, 1.0])
    eyes = Viewpoints(np.zeros((5, 3)), np.full(5, 9.0), axis, angle)
    frame = read(Observation(0.5, Detections.empty(), eyes), torch.device("cpu"), DTYPE)
    assert frame.faults == {"viewpoints": 2}
    here, all_of_them = boxes(*places), torch.arange(5)
    seen = []
    for k in range(5):
        one = slice(k, k + 1)
        cone = frame.axis[one], frame.cosine[one]
        seen.append(
            visible(here, all_of_them, all_of_them[:0], frame.viewpoint[one], frame.range_m[one], cone).tolist()
        )
    ahead, up, around, nothing = [True, True, False, False, False], [False] * 4 + [True], [True] * 5, [False] * 5
    assert seen == [ahead, up, around, nothing, nothing]
    sound = dataclasses.replace(
        eyes, axis=axis[:3], half_angle_rad=angle[:3], position=np.zeros((3, 3)), range_m=np.full(3, 1.3)
    )
    centres = sound.reach(np.array(places) * 0.4)
    assert centres.T.tolist() == [ahead, up, around]


def test_a_sensor_that_claims_to_be_exact_is_believed_to_a_hair_s_breadth() -> None:
    noise = SensorModel().pose_noise(torch.zeros(1, 6, 6, dtype=DTYPE))
    assert torch.linalg.cholesky(noise)[0].diagonal().tolist() == pytest.approx([1e-5] * 3 + [5e-5] * 3)


def test_what_shows_a_corner_past_a_box_is_not_in_view_and_nothing_hides_itself() -> None:
    low, behind = (2.0, 0.0, 0.0), (4.0, 0.0, 0.0)
    states = boxes(low, behind)
    eye, far = torch.tensor([[0.0, 0.0, 0.4]], dtype=DTYPE), torch.tensor([10.0], dtype=DTYPE)
    both = torch.tensor([0, 1])
    # past the near box's top edge of 0.245 m, of the far one no more than its upper face can be seen: 1 point of 6
    assert visible(states, both, both, eye, far).tolist() == [True, False]


def test_the_surprisals_of_place_and_of_turn_given_the_place_are_those_of_the_pose() -> None:
    rng = np.random.default_rng(RNG_SEED)
    root = rng.normal(size=(3, 6, 6))
    covariance = torch.tensor(root @ root.transpose(0, 2, 1) + 0.1 * np.eye(6))
    residual = torch.tensor(rng.normal(size=(3, 6)))
    found = pose_surprise(Innovation.of(residual, covariance), torch.full((3,), 1e-6, dtype=DTYPE))
    for row in range(3):
        shape = covariance[row].numpy() * (8.0 - 2.0) / 8.0  # eight degrees of freedom, that covariance
        pose = stats.multivariate_t(np.zeros(6), shape, df=8.0).logpdf(residual[row].numpy())
        place = stats.multivariate_t(np.zeros(3), shape[:3, :3], df=8.0).logpdf(residual[row, :3].numpy())
        assert float(found.position_nats[row]) == pytest.approx(-place)
        assert float(found.position_nats[row] + found.rotation_nats[row]) == pytest.approx(-pose)


def test_size_and_look_surprise_as_independent_gaussians_do() -> None:
    size, look = torch.tensor([[0.1, 0.0, -0.2]], dtype=DTYPE), torch.tensor([[0.3, -0.1]], dtype=DTYPE)
    found = appearance_surprisal(size, torch.full_like(size, 0.01), look, torch.full_like(look, 0.04))
    by_hand = stats.norm.logpdf(size[0], 0.0, 0.1).sum() + stats.norm.logpdf(look[0], 0.0, 0.2).sum()
    assert float(found) == pytest.approx(-by_hand)
