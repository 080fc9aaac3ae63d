"""Containers: what is in a crate goes where the crate goes, and hands put things in and take things out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from worldsim.errors import ConfigurationError
from worldsim.simulation.bullet import BulletPhysics
from worldsim.simulation.drivers import Bulk, Hoist, Trip
from worldsim.simulation.scene import Cavity
from worldsim.simulation.truths import with_containments
from worldsim.types.truth import WorldTruth
from worldsim_scenarios.containers import Containers


@pytest.fixture(scope="module")
def physics():  # type: ignore[no-untyped-def]
    world = BulletPhysics()
    yield world
    world.close()


def _place(truth: WorldTruth, name: str) -> np.ndarray:
    return np.asarray(truth.position[truth.names.index(name)])


def test_contents_are_carried_along_and_what_lies_below_or_beside_stays(physics: BulletPhysics) -> None:
    physics.reset(Containers(containers=2, put_in=0, taken_out=0), seed=3)
    before = physics.truth()
    assert before.visible.all()
    assert before.containments
    highest = 0.0
    for _ in range(160):
        physics.step(None)
        highest = max(highest, float(physics.truth().position[before.names.index("crate_0"), 2]))
    after = physics.truth()
    assert after.containments == before.containments
    assert not any("bench" in pair for pair in after.containments)
    way = _place(after, "crate_0") - _place(before, "crate_0")
    assert highest > 0.4
    np.testing.assert_allclose(way, (0.0, 1.6, 0.0), atol=0.02)
    for container, content in after.containments:
        along = (_place(after, content) - _place(before, content)) - (
            _place(after, container) - _place(before, container)
        )
        assert np.linalg.norm(along) < 0.25  # it may slide or roll as far as there is room
    for name in ("under_0", "beside_0", "below_0", "above"):
        assert np.linalg.norm(_place(after, name) - _place(before, name)) < 5e-3


def test_a_hand_puts_one_thing_in_and_another_takes_one_out(physics: BulletPhysics) -> None:
    physics.reset(Containers(containers=2, put_in=1, taken_out=1, benches=0), seed=1)
    before = set(physics.truth().containments)
    for _ in range(70):
        physics.step(None)
    now = set(physics.truth().containments)
    gained, lost = now - before, before - now
    assert len(gained) == len(lost) == 1
    ((container, content),) = gained
    assert content == container.replace("crate", "hand")
    ((container, content),) = lost
    assert content == container.replace("crate", "content") + "_0"


def test_a_thing_is_contained_where_its_centre_is_in_the_turned_room() -> None:
    half = 0.5**0.5
    names = ("box", "in", "over_the_rim", "in_the_wall")
    place = np.array([[1.0, 0.0, 0.0], [1.0, 0.38, 0.0], [1.0, 0.38, 0.2], [1.0, 0.45, 0.0]])
    turned = np.array([[0.0, 0.0, half, half]] * 4)  # the long edge of the box, x, points along y
    zero = np.zeros((4, 3))
    truth = WorldTruth(0.0, names, names, place, turned, zero, zero, np.full((4, 3), 0.05), np.ones(4, dtype=bool))
    cavities = {"box": Cavity((0.0, 0.0, 0.02), (0.8, 0.2, 0.3))}
    assert with_containments(truth, cavities).containments == (("box", "in"),)
    gone = replace(truth, absent=frozenset({"in"}))
    assert with_containments(gone, cavities).containments == ()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"containers": 0}, "containers is 0, expected 1 to 9"),
        ({"contents": 5}, "contents is 5, expected 1 to 4"),
        ({"containers": 2, "put_in": 2, "taken_out": 1}, "no more than containers"),
        ({"benches": 2}, "benches 0 or 1"),
        ({"duration_s": 0.0}, "duration_s > 0"),
    ],
)
def test_fields_that_cannot_work_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Containers(**fields)  # type: ignore[arg-type]


def test_hoists_and_rooms_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="speed_m_s and loaded_kg > 0"):
        Hoist("box", Bulk(1.0, 1.0, 1.0), Trip(1.0, (0.0, 0.0, 0.0), 0.0, 1.0, 1.0))
    with pytest.raises(ConfigurationError, match="three positive lengths"):
        Cavity((0.0, 0.0, 0.0), (1.0, 0.0, 1.0))
