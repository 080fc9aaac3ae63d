"""Association against a dense assignment over all pairs."""

from __future__ import annotations

import dataclasses

import networkx as nx
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from worldsim.inference.associate import associate
from worldsim.types.observation import APPEARANCE_DIM, Detections

GATE, ATTRIBUTE_GATE, ATTRIBUTE_STD = 30.0, 60.0, 0.12


def crowd(rng: np.random.Generator, n: int, side_m: float) -> tuple[np.ndarray, ...]:
    """Return positions, position covariances, sizes and looks of `n` things on a square."""
    position = np.column_stack([rng.uniform(0.0, side_m, (n, 2)), np.full(n, 0.5)])
    covariance = np.eye(3) * rng.uniform(1e-4, 4e-2, (n, 1, 1))
    return position, covariance, rng.uniform(0.5, 0.52, (n, 3)), 0.02 * rng.standard_normal((n, APPEARANCE_DIM))


def seen(rng: np.random.Generator, position: np.ndarray, extent: np.ndarray, look: np.ndarray) -> Detections:
    n = len(position)
    upright = np.tile([0.0, 0.0, 0.0, 1.0], (n, 1))
    noise = np.tile(np.diag([1e-4] * 3 + [2.5e-4] * 3), (n, 1, 1))
    return Detections(
        position + 0.02 * rng.standard_normal((n, 3)),
        upright,
        extent * np.exp(0.02 * rng.standard_normal((n, 3))),
        np.full((n, 3), 0.5),
        look + 0.02 * rng.standard_normal(look.shape),
        noise,
    )


@pytest.mark.parametrize("side_m", [2.0, 6.0, 40.0])  # from everybody in everybody's gate to everybody alone
@pytest.mark.parametrize("seed", [0, 1])
def test_the_assignment_is_that_of_all_pairs(side_m: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    position, covariance, extent, look = crowd(rng, 60, side_m)
    order = rng.permutation(60)[:50]  # ten are missed
    detections = seen(rng, position[order], extent[order], look[order])
    jump = np.where(np.arange(60) % 7 == 0, 0.3, 0.1)
    candidate = np.arange(60) != 3
    found = associate(position, covariance, extent, look, candidate, detections, jump)

    spread = covariance[:, None] + detections.covariance[None, :, :3, :3] + np.eye(3) * jump[:, None, None, None] ** 2
    away = detections.position[None] - position[:, None]
    distance = np.einsum("nda,nda->nd", away, np.linalg.solve(spread, away[..., None])[..., 0])
    size = np.log(detections.extent_m)[None] - np.log(extent)[:, None]
    apart = detections.appearance[None] - look[:, None]
    attribute = ((size**2).sum(-1) + (apart**2).sum(-1)) / ATTRIBUTE_STD**2
    log_det = np.linalg.slogdet(spread)[1]
    cost = 0.5 * (distance + attribute + log_det)
    allowed = (distance < GATE) & (attribute < ATTRIBUTE_GATE) & candidate[:, None]
    miss = np.zeros((60, 1))
    for rivals in nx.connected_components(nx.Graph([(n, 60 + d) for n, d in np.argwhere(allowed).tolist()])):
        rows = sorted(n for n in rivals if n < 60)
        miss[rows] = 0.5 * (GATE + ATTRIBUTE_GATE) + 0.5 * log_det[rows][allowed[rows]].max()
    table = np.concatenate([np.where(allowed, cost, 1e6), np.where(np.eye(60) > 0, miss, 1e6)], axis=1)
    row, column = linear_sum_assignment(table)
    expected = np.full(60, -1)
    expected[row] = np.where(column < 50, column, -1)
    expected[~candidate] = -1
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("lost_m", [0.1, 5.0])
def test_who_is_lost_far_away_does_not_change_who_is_who_here(lost_m: float) -> None:
    rng, there = np.random.default_rng(0), np.array([[-40.0, 40.0, 0.5]])
    row = np.column_stack([0.45 * np.arange(5), np.zeros(5), np.full(5, 0.5)])
    position, n = np.concatenate([row, there]), 6
    extent, look = np.full((n, 3), 0.3), np.zeros((n, APPEARANCE_DIM))
    covariance = np.eye(3) * np.where(np.arange(n) < 5, 1e-4, lost_m**2)[:, None, None]
    # the last of the row is missed, and something false is seen before the first
    shown = np.concatenate([row[:4], row[:1] - [0.45, 0.0, 0.0], there + 0.5 * min(lost_m, 0.2)])
    detections = seen(rng, shown, extent, look)
    found = associate(position, covariance, extent, look, np.ones(n, dtype=bool), detections, np.full(n, 0.1))
    assert found.tolist() == [0, 1, 2, 3, -1, 5]


def test_nothing_in_reach_is_nobody_s_detection() -> None:
    rng = np.random.default_rng(0)
    position, covariance, extent, look = crowd(rng, 5, 2.0)
    far = seen(rng, position + 100.0, extent, look)
    found = associate(position, covariance, extent, look, np.ones(5, dtype=bool), far, np.full(5, 0.1))
    assert (found == -1).all()


def test_a_thing_that_was_lost_beyond_all_bounds_spoils_nobody_s_match() -> None:
    rng = np.random.default_rng(2)
    position, covariance, extent, look = crowd(rng, 6, 8.0)
    detections = seen(rng, position[:5], extent[:5], look[:5])
    root = 1e41 * rng.standard_normal((3, 2))
    covariance[5] = root @ root.T  # what rounding leaves of it is indefinite
    found = associate(position, covariance, extent, look, np.ones(6, dtype=bool), detections, np.full(6, 0.1))
    assert found[:5].tolist() == [0, 1, 2, 3, 4]
    covariance[5] = np.inf
    found = associate(position, covariance, extent, look, np.ones(6, dtype=bool), detections, np.full(6, 0.1))
    assert found.tolist() == [0, 1, 2, 3, 4, -1]


def test_looks_that_are_unknown_on_either_side_cost_nothing() -> None:
    rng = np.random.default_rng(2)
    position, covariance, extent, look = crowd(rng, 30, 8.0)
    detections = seen(rng, position, extent, look)
    candidate, jump = np.ones(30, dtype=bool), np.full(30, 0.1)
    told = np.where(np.arange(30) % 2 == 0, 0.0, 5.0)[:, None] + look  # every other is believed to look otherwise
    assert (associate(position, covariance, extent, told, candidate, detections, jump) >= 0).sum() <= 15
    unknown = np.where(np.arange(30) % 2 == 0, 0.0, np.nan)[:, None] + look
    found = associate(position, covariance, extent, unknown, candidate, detections, jump)
    assert (found == np.arange(30)).mean() > 0.9
    nobody_told = dataclasses.replace(detections, appearance=np.full_like(look, np.nan))
    found = associate(position, covariance, extent, told, candidate, nobody_told, jump)
    assert (found == np.arange(30)).mean() > 0.9
