"""SIGKILL at random moments of publishes: what was acknowledged is there, and nothing half is visible."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.evaluation.registry_kills import Tally, kill_publishers, kill_servers
from worldsim.models.cat import Cat


def check(tally: Tally, kills: int) -> None:
    assert (tally.lost, tally.half, tally.errors, tally.unhealed) == ([], [], [], 0)
    assert tally.is_clean
    assert tally.kills == kills
    assert tally.acknowledged > kills


def test_a_publisher_killed_beside_another_costs_nothing(address, cat_card):
    check(kill_publishers(address, Cat(cat_card), 6, np.random.default_rng(0)), 6)


def test_a_server_killed_under_two_clients_costs_nothing(address, cat_card, tmp_path):
    pytest.importorskip("fastapi", reason="the service needs worldsim-lab[server]")
    check(kill_servers(address, Cat(cat_card), 4, np.random.default_rng(1), tmp_path / "cache"), 4)
