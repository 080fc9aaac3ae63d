"""Intervals over tosses of the elbow."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.evaluation.statistics import bootstrap
from worldsim.evaluation.transfer.elbow_toss import _by_toss


def test_intervals_over_few_tosses_are_as_wide_as_those_of_as_many_values() -> None:
    """Windows of one toss that are all alike tell no more than one of them."""
    each = np.random.default_rng(0).normal(size=5)
    found = _by_toss(np.repeat(each, 4), np.repeat(np.arange(5), 4), np.random.default_rng(1))
    assert found == pytest.approx(bootstrap([each], np.mean, np.random.default_rng(1)).interval)
