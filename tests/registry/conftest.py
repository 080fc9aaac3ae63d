"""Registries to test on."""

from __future__ import annotations

import pytest

from worldsim.registry import StoredRegistry, open_registry
from worldsim.types import Descriptor, ModelCard, ParameterPrior, Shape


@pytest.fixture
def cat_card() -> ModelCard:
    """A card that nothing is wrong with."""
    return ModelCard(
        model_id="cat/test-cat",
        version=0,
        kind="cat",
        family="cat",
        parameters=(
            ParameterPrior("burst_speed_m_s", 1.8, 0.17, "m/s", "log"),
            ParameterPrior("brake_per_s", 4.0, 0.25, "1/s", "log"),
            ParameterPrior("flee_gain_per_s", 4.0, 0.25, "1/s", "log"),
            ParameterPrior("flee_distance_m", 2.5, 0.2, "m", "log"),
            ParameterPrior("wander_noise", 1.5, 0.4, "m^2/s^3", "log"),
        ),
        shape=Shape("box", (0.45, 0.16, 0.30), (0.03, 0.01, 0.02)),
        descriptor=Descriptor(tuple([0.5] * 12), tuple([0.05] * 12), {"speed_mean": 0.8, "height": 0.0}),
        provenance="Written for a test.",
        tags=("test",),
    )


@pytest.fixture
def address(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def registry(address):
    with open_registry(address) as found:
        yield found


@pytest.fixture
def builtin() -> StoredRegistry:
    with open_registry("builtin") as found:
        yield found
