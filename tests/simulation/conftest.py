"""A fresh PyBullet world for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from worldsim.simulation.bullet import BulletPhysics


@pytest.fixture
def physics() -> Iterator[BulletPhysics]:
    """Return a world that is closed after the test."""
    world = BulletPhysics()
    yield world
    world.close()
