"""Mixed: every kind of interaction that it promises is there, and what is welded is tied to nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from worldsim.errors import ConfigurationError
from worldsim.simulation.bullet import BulletPhysics
from worldsim_scenarios.mixed import Mixed


@pytest.fixture(scope="module")
def physics():  # type: ignore[no-untyped-def]
    world = BulletPhysics()
    yield world
    world.close()


def test_six_kinds_of_interaction_are_there(physics: BulletPhysics) -> None:
    physics.reset(Mixed(), seed=2)
    truth = physics.truth()
    assert truth.visible.all()
    kinds = [kind for _, _, kind, _ in truth.forces]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"spring": 3, "magnet": 4, "weld": 1}
    assert truth.attachments == tuple((a, b) for a, b, kind, _ in truth.forces if kind == "weld")
    welded = set(truth.attachments[0])
    assert all(welded.isdisjoint((a, b)) for a, b, kind, _ in truth.forces if kind != "weld")
    assert ("below", "above") in truth.supports
    assert truth.containments == (("crate", "content_0"), ("crate", "content_1"))
    assert truth.contacts


def test_the_crate_is_carried_with_its_contents_and_welded_balls_keep_their_distance(physics: BulletPhysics) -> None:
    physics.reset(Mixed(), seed=4)
    before = physics.truth()
    for _ in range(120):
        physics.step(None)
    after = physics.truth()
    row = before.names.index("crate")
    way = after.position[row] - before.position[row]
    np.testing.assert_allclose(way, (0.6, 0.0, 0.0), atol=0.02)
    assert after.containments == before.containments
    a, b = (before.names.index(name) for name in before.attachments[0])
    distance = [float(np.linalg.norm(t.position[a] - t.position[b])) for t in (before, after)]
    assert abs(distance[1] - distance[0]) < 0.02  # a stiff bond, not a rigid one
    assert np.abs(after.position[:, :2]).max() < 4.0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bodies": 3}, "bodies is 3, expected 4 to 40"),
        ({"springs": 0, "magnets": 0, "welds": 0}, "together 1 to 12"),
        ({"bodies": 4, "springs": 4, "magnets": 4}, "together 1 to 6"),
        ({"duration_s": 0.0}, "duration_s is 0"),
    ],
)
def test_fields_that_cannot_work_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Mixed(**fields)  # type: ignore[arg-type]
