"""The soak looks at what it says: a short run of a sound world model holds, and every figure has a number."""

from __future__ import annotations

import math

from worldsim.evaluation.bench import BenchOptions
from worldsim.evaluation.bench_soak import bench_soak


def test_a_short_soak_finds_a_finite_and_definite_belief() -> None:
    figures = {figure.name: figure for figure in bench_soak(BenchOptions(steps=200))}
    assert all(math.isfinite(figure.value) for figure in figures.values())
    assert figures["looks at the belief in which everything was finite"].holds
    assert figures["smallest eigenvalue of any correlation matrix"].holds
    assert figures["furthest that a quaternion was from unit length"].holds
    assert 0.8 < figures["coverage of positions at 90 %"].value <= 1.0
