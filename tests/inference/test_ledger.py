"""What the host remembers of each slot, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worldsim.inference.ledger import Ledger
from worldsim.types.record import CHANNELS, Channel

DT_S = 0.1
ONE = np.array([1])


def followed(velocities: list[tuple[float, float, float]]) -> dict[str, float]:
    ledger = Ledger.empty(3)
    ledger.hits[ONE] = 1  # born
    for velocity in velocities:
        ledger.watch(ONE, np.array([velocity]), np.array([0.7]), np.array([DT_S]))
    assert ledger.hits.tolist() == [0, 1 + len(velocities), 0]
    return ledger.motion(1)


def test_motion_is_told_by_the_names_and_in_the_units_that_cards_use() -> None:
    told = followed([(0.0, 0.0, 0.0), (0.0, 0.0, 0.05), (0.0, 3.0, 4.0), (0.0, 3.0, 0.0), (0.0, 0.0, 0.0)])
    assert told["speed_mean"] == pytest.approx((0.0 + 0.05 + 5.0 + 3.0 + 0.0) / 5)
    assert told["speed_max"] == pytest.approx(5.0)
    assert told["still_share"] == pytest.approx(0.6)
    assert told["height"] == pytest.approx(0.7)
    change = [3.0**2 + 3.95**2, 4.0**2, 3.0**2]  # from the fourth look on: before, no velocity is known
    assert told["acceleration_rms"] == pytest.approx(math.sqrt(sum(change) / 3) / DT_S)


def test_what_goes_straight_on_does_not_speed_up_because_it_is_first_seen() -> None:
    assert followed([(1.3, 0.0, 0.0)] * 8)["acceleration_rms"] == 0.0


def test_a_turn_counts_once_a_velocity_is_known_and_of_what_moves() -> None:
    east, north, slow = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.1, 0.0)
    quarter = (math.pi / 2 / DT_S) ** 2
    assert followed([east, north, north, north])["turn_rate_rms"] == 0.0  # the first looks: no velocity yet
    assert followed([east, east, east, north])["turn_rate_rms"] == pytest.approx(math.sqrt(quarter / 2))
    assert followed([east, east, east, slow])["turn_rate_rms"] == 0.0  # what all but stands turns by noise


def test_a_change_while_nobody_looked_took_as_long_as_nobody_looked() -> None:
    ledger = Ledger.empty(3)
    ledger.hits[ONE] = 4
    ledger.previous_velocity[ONE] = (1.0, 0.0, 0.0)
    ledger.watch(ONE, np.array([[0.0, 1.0, 0.0]]), np.array([0.7]), np.array([0.5]))
    told = ledger.motion(1)
    assert told["acceleration_rms"] == pytest.approx(math.sqrt(2.0) / 0.5 / math.sqrt(2))  # of two changes
    assert told["turn_rate_rms"] == pytest.approx(math.pi / 2 / 0.5 / math.sqrt(2))


def test_blame_fades_and_is_told_in_shares() -> None:
    ledger = Ledger.empty(2)
    place, contact = CHANNELS.index(Channel.POSITION), CHANNELS.index(Channel.CONTACT)
    first, later = np.zeros((2, 1, len(CHANNELS)))
    first[0, place], later[0, contact], later[0, place] = 10.0, 1000.0, -5.0  # what was expected is no excuse
    ledger.blame(ONE, first)
    for _ in range(2):
        ledger.blame(ONE, later)
    faded, struck = 10.0 * 0.9**2, 100.0 * (1.0 + 0.9)  # one frame counts a hundred nats at the most
    assert ledger.surprise_sum[1, [place, contact]].tolist() == pytest.approx([faded, struck])
    assert ledger.channel_share(1)[str(Channel.CONTACT)] == pytest.approx(struck / (faded + struck))
    assert ledger.channel_share(0) == {}


def test_a_slot_that_is_cleared_remembers_nothing_and_growing_forgets_nothing() -> None:
    ledger = Ledger.empty(2)
    ledger.watch(ONE, np.array([[2.0, 0.0, 0.0]]), np.array([0.1]), np.array([DT_S]))
    ledger.learning_since_s[1] = 4.0
    ledger.grow()
    assert (len(ledger.hits), ledger.motion(1)["speed_max"], ledger.learning_since_s[1]) == (4, 2.0, 4.0)
    ledger.clear(ONE)
    assert ledger.motion(1)["speed_max"] == 0.0
    assert np.isnan(ledger.learning_since_s[1])
    assert not ledger.previous_velocity.any()
