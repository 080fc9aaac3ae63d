"""The generator reproduces the published sequences bit for bit, and obeys its own physics."""

import numpy as np
import pytest

from worldsim.errors import DataError
from worldsim.evaluation.datasets import find_data
from worldsim.evaluation.nri_generator import CHARGED, SPRINGS, NriLaw, draw_starts, simulate_nri


@pytest.mark.parametrize(
    ("name", "law", "balls"),
    [("nri-springs5", SPRINGS, 5), ("nri-charged5", CHARGED, 5), ("nri-springs10", SPRINGS, 10)],
)
def test_the_first_training_sequences_equal_the_stored_ones_bit_for_bit(name: str, law: NriLaw, balls: int) -> None:
    try:
        path = find_data(name)
    except DataError:
        pytest.skip(f"data set {name} is not on this machine")
    start = draw_starts(law, 3, balls, 49, np.random.RandomState(42))
    places, velocities = simulate_nri(law, start, 49)
    with np.load(path) as stored:
        np.testing.assert_array_equal(start[2].astype(np.int8), stored["edges_train"][:3])
        np.testing.assert_array_equal(places.astype(np.float32), stored["loc_train"][:3])
        np.testing.assert_array_equal(velocities.astype(np.float32), stored["vel_train"][:3])


def test_a_spring_pair_oscillates_with_its_period() -> None:
    apart = np.array([[[-0.5, 0.5], [0.0, 0.0]]])
    edges = np.array([[[0.0, 1.0], [1.0, 0.0]]])
    places, _ = simulate_nri(SPRINGS, (apart, np.zeros_like(apart), edges), frames=90)
    t = 0.1 * np.arange(1, 91)
    expected = np.cos(np.sqrt(2 * 0.1) * t)  # the distance: two unit masses on a spring of 0.1 N/m
    np.testing.assert_allclose(places[0, :, 0, 1] - places[0, :, 0, 0], expected, atol=5e-4)  # order dt


def test_like_charges_part_and_momentum_stays() -> None:
    start = (np.array([[[-1.0, 1.0], [0.0, 0.0]]]), np.zeros((1, 2, 2)), np.ones((1, 2, 2)))
    places, velocities = simulate_nri(CHARGED, start, frames=10)
    assert (np.diff(places[0, :, 0, 1] - places[0, :, 0, 0]) > 0.0).all()
    np.testing.assert_allclose(velocities.sum(-1), 0.0, atol=1e-12)


def test_walls_are_elastic() -> None:
    start = (np.array([[[4.9], [0.0]]]), np.array([[[0.5], [0.0]]]), np.zeros((1, 1, 1)))
    places, velocities = simulate_nri(SPRINGS, start, frames=10)
    assert places.max() <= 5.0
    assert velocities[0, -1, 0, 0] == -0.5
