"""Cards for tests, one a family: written by hand, so that no test depends on the shipped registry."""

from __future__ import annotations

from typing import Any

from worldsim.contracts import ObjectModel
from worldsim.plugins import load_plugin
from worldsim.testing.object_model_conformance import UNITS
from worldsim.types import Descriptor, ModelCard, ParameterPrior, Shape

VALUES: dict[str, dict[str, float]] = {
    "static": {},
    "rigid_body": {"mass_kg": 8.0, "friction": 0.5, "restitution": 0.1, "drag_per_s": 0.01},
    "hinge": {"axis_x_m": -0.7, "axis_y_m": 0.0, "damping_per_s": 0.5},
    "vehicle": {
        "speed_response_per_s": 4.0,
        "yaw_response_per_s": 6.0,
        "drive_noise": 0.05,
        "rolling_deceleration_m_s2": 0.1,
    },
    "person": {
        "preferred_speed_m_s": 1.2,
        "relaxation_time_s": 0.8,
        "avoid_strength_m_s2": 1.0,
        "avoid_range_m": 1.0,
        "wander_noise": 0.3,
    },
    "cat": {
        "burst_speed_m_s": 1.8,
        "brake_per_s": 2.0,
        "flee_gain_per_s": 4.0,
        "flee_distance_m": 2.5,
        "wander_noise": 1.5,
    },
    "dog": {"approach_speed_m_s": 1.6, "stop_distance_m": 1.1, "response_per_s": 3.0, "wander_noise": 0.4},
    "rolling_ball": {"mass_kg": 0.4, "rolling_deceleration_m_s2": 0.15, "restitution": 0.5, "friction": 0.5},
    "trolley": {"mass_kg": 18.0, "rolling_deceleration_m_s2": 0.3, "restitution": 0.2, "yaw_damping_per_s": 1.0},
    "generic": {
        "drag_h_per_s": 0.0,
        "turn_rate_per_s": 0.0,
        "thrust_m_s2": 0.0,
        "height_stiffness_per_s2": 0.0,
        "height_m": 0.5,
        "drag_v_per_s": 0.0,
        "noise_h": 3.0,
        "noise_v": 1.0,
    },
}
EXTENTS = {
    "static": (2.4, 0.6, 2.2),
    "rigid_body": (0.5, 0.4, 0.35),
    "hinge": (1.4, 0.06, 2.0),
    "vehicle": (0.7, 0.5, 0.3),
    "person": (0.45, 0.55, 1.75),
    "cat": (0.45, 0.16, 0.3),
    "dog": (0.8, 0.26, 0.6),
    "rolling_ball": (0.3, 0.3, 0.3),
    "trolley": (0.9, 0.55, 1.0),
    "generic": (0.7, 0.7, 0.7),
}
_SIGNED = {"axis_x_m", "axis_y_m", *list(VALUES["generic"])[:6]}


def _unit(name: str) -> str:
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), "1")


def card_of(family: str, *, std: float = 0.3, kind: str | None = None, model_id: str | None = None) -> ModelCard:
    """Return a card of `family`; `std` is every parameter's."""
    priors = tuple(
        ParameterPrior(name, value, std, _unit(name), "identity" if name in _SIGNED else "log")
        for name, value in VALUES[family].items()
    )
    extent = EXTENTS[family]
    spread = (0.7, 0.7, 0.7) if family == "generic" else tuple(0.07 * e for e in extent)
    shape = Shape("sphere" if family == "rolling_ball" else "box", extent, spread)
    return ModelCard(model_id or f"{family}/test", 1, kind or family, family, priors, shape, Descriptor())


def model_of(family: str, **options: Any) -> ObjectModel:
    """Return a model of `family` bound to its test card."""
    return load_plugin("worldsim.object_models", family, ObjectModel)(card_of(family, **options))
