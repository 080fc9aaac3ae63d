"""Forces between pairs: the laws that their names say, switched on and off, and put back by a snapshot."""

from __future__ import annotations

import pytest

from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.simulation.drivers import Launch, PairForce, PairForces
from worldsim.simulation.drivers.pairs import MAGNET_CORE_M, _measured
from worldsim.simulation.engine import RigidState

UPRIGHT = (0.0, 0.0, 0.0, 1.0)


def _at(x: float, speed: float = 0.0, across: float = 0.0) -> RigidState:
    return RigidState((x, 0.0, 0.0), UPRIGHT, (speed, across, 0.0), (0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("pair", "force"),
    [
        (PairForce("spring", "a", "b", 3.0), 6.0),
        (PairForce("spring", "a", "b", 3.0, 0.5), 4.5),
        (PairForce("magnet", "a", "b", 2.0), -0.5),
        (PairForce("magnet", "a", "b", -2.0), 0.5),
        (PairForce("tether", "a", "b", 10.0, 2.5), 0.0),
        (PairForce("tether", "a", "b", 10.0, 1.5), 5.0),
        (PairForce("weld", "a", "b", 10.0, 1.5), 5.0),
    ],
)
def test_each_kind_pulls_as_its_name_says(pair: PairForce, force: float) -> None:
    assert pair.on_first(_at(0.0), _at(2.0)) == pytest.approx((force, 0.0, 0.0))


def test_a_rope_never_pushes_and_a_magnet_has_a_core() -> None:
    rope = PairForce("tether", "a", "b", 10.0, 1.0, damping_n_s_m=50.0)
    assert rope.on_first(_at(0.0), _at(1.1, speed=-3.0))[0] == 0.0
    magnet = PairForce("magnet", "a", "b", 1.0)
    assert magnet.on_first(_at(0.0), _at(0.01))[0] == pytest.approx(-1.0 / MAGNET_CORE_M**2)


def test_a_weld_holds_sideways_too() -> None:
    weld = PairForce("weld", "a", "b", 10.0, 1.0, damping_n_s_m=2.0)
    assert weld.on_first(_at(0.0), _at(1.0, across=0.5)) == pytest.approx((0.0, 1.0, 0.0))


def test_pairs_act_from_their_time_to_their_time() -> None:
    pair = PairForce("spring", "a", "b", 1.0, from_s=1.0, until_s=2.0)
    assert [pair.acts(t) for t in (0.5, 1.0, 1.9, 2.0)] == [False, True, True, False]


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="spring"):
        PairForce("glue", "a", "b", 1.0)
    with pytest.raises(ConfigurationError, match="paired with itself"):
        PairForce("spring", "a", "a", 1.0)
    with pytest.raises(ConfigurationError, match="cannot work"):
        PairForce("spring", "a", "b", 1.0, from_s=2.0, until_s=1.0)
    with pytest.raises(ConfigurationError, match="leave the driver out"):
        PairForces(())
    with pytest.raises(ConfigurationError, match="leave the driver out"):
        Launch({})


def test_a_weld_without_a_length_holds_the_distance_at_which_it_is_made() -> None:
    measured = _measured(PairForce("weld", "a", "b", 10.0), {"a": _at(0.0), "b": _at(1.5)})
    assert measured.length_m == pytest.approx(1.5)
    spring = PairForce("spring", "a", "b", 10.0)
    assert _measured(spring, {"a": _at(0.0), "b": _at(1.5)}) == spring
