"""Welds that are made and broken: seen soon where something pulls, and not taken for free flight."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from worldsim.errors import ConfigurationError
from worldsim.graph.kinematics.bonds import BondFilter, BondSettings

RATE_HZ, NOISE_M = 60, 7e-4
STEPS = 40  # of the simulation, a frame
MASS_KG = 0.5


def _apart(made: int, broken: int, frames: int) -> torch.Tensor:
    """Return the seen relative place of two that fly apart, are joined, and are pulled apart when the bond breaks."""
    rng = np.random.default_rng(4)
    place, speed, length = np.array([0.6, 0.1]), np.array([0.35, 0.1]), 0.0
    seen = []
    for frame in range(frames):
        seen.append(place + NOISE_M * rng.standard_normal(2))
        if frame == made:
            length = float(np.linalg.norm(place))
        for _ in range(STEPS):
            distance = np.linalg.norm(place)
            force = 0.5 * place / distance  # something pulls them apart all the while
            if made <= frame < broken:
                force = force - 300.0 * (distance - length) * place / distance - 4.0 * speed
            speed = speed + force * (2.0 / MASS_KG) / (RATE_HZ * STEPS)
            place = place + speed / (RATE_HZ * STEPS)
    return torch.from_numpy(np.array(seen))


def test_a_bond_is_seen_within_six_frames_of_its_making_and_of_its_breaking() -> None:
    made, broken = 60, 150
    bonds = BondFilter(torch.tensor([2.0 / MASS_KG]))
    calm = torch.zeros(1, 2, 2)
    seen = _apart(made, broken, 200)
    said = np.array([float(bonds.observe(r[None], NOISE_M, 1.0 / RATE_HZ, calm)) for r in seen]) > 0.5
    assert not said[20:made].any()
    assert said[made + 6 : broken].all()
    assert not said[broken + 6 :].any()


def test_a_pair_that_is_struck_in_every_frame_tells_nothing() -> None:
    bonds = BondFilter(torch.tensor([2.0 / MASS_KG]))
    struck = torch.eye(2)[None]
    for r in _apart(0, 10**6, 60):
        probability = float(bonds.observe(r[None], NOISE_M, 1.0 / RATE_HZ, struck))
    settings = BondSettings()
    rest = settings.made_per_s / (settings.made_per_s + settings.broken_per_s)
    assert probability == pytest.approx(rest, rel=0.05)  # the first frame counts as any


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="stiffness_n_m=0"):
        BondSettings(stiffness_n_m=0.0)
