"""Writes the shipped model cards: ``python -m worldsim_assets.make_cards``. The same source gives the same bytes.

Each `Breed` below is one kind of thing with the medians of its parameters, its size and the way it moves; the cards
of a kind are drawn around them. The first card of a kind is the median itself.
"""

# ruff: noqa: E501  (the table of breeds reads by its columns)
from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from worldsim.registry.builtin import write_models
from worldsim.simulation.appearance import describe
from worldsim.simulation.scene import BodySpec
from worldsim.types.card import Descriptor, Evidence, ModelCard, ParameterPrior, Shape

__all__ = ["BREEDS", "Breed", "make_cards"]

FOLDER = Path(__file__).parent / "models"
APPEARANCE_FILE = Path(__file__).parent / "appearance.json"

UNITS = {"kg": "kg", "m": "m", "m_s": "m/s", "m_s2": "m/s^2", "per_s": "1/s", "per_s2": "1/s^2", "s": "s"}

# parameter -> (spread of one card's prior, spread of the medians over the cards of a kind), both in log
PRIORS: dict[str, dict[str, tuple[float, float]]] = {
    "static": {},
    "rigid_body": {
        "mass_kg": (0.35, 0.3),
        "friction": (0.3, 0.15),
        "restitution": (0.5, 0.2),
        "drag_per_s": (0.7, 0.2),
    },
    "hinge": {"axis_x_m": (0.04, 0.0), "axis_y_m": (0.02, 0.0), "damping_per_s": (0.5, 0.3)},
    "vehicle": {
        "speed_response_per_s": (0.3, 0.2),
        "yaw_response_per_s": (0.3, 0.2),
        "drive_noise": (0.5, 0.2),
        "rolling_deceleration_m_s2": (0.4, 0.2),
    },
    "person": {
        "preferred_speed_m_s": (0.2, 0.12),
        "relaxation_time_s": (0.3, 0.1),
        "avoid_strength_m_s2": (0.4, 0.15),
        "avoid_range_m": (0.3, 0.15),
        "wander_noise": (0.5, 0.2),
    },
    "cat": {
        "burst_speed_m_s": (0.17, 0.2),
        "brake_per_s": (0.03, 0.15),
        "flee_gain_per_s": (0.1, 0.15),
        "flee_distance_m": (0.2, 0.15),
        "wander_noise": (0.4, 0.3),
    },
    "dog": {
        "approach_speed_m_s": (0.2, 0.2),
        "stop_distance_m": (0.2, 0.15),
        "response_per_s": (0.25, 0.15),
        "wander_noise": (0.4, 0.3),
    },
    "rolling_ball": {
        "mass_kg": (0.4, 0.2),
        "rolling_deceleration_m_s2": (0.4, 0.25),
        "restitution": (0.25, 0.15),
        "friction": (0.3, 0.1),
    },
    "trolley": {
        "mass_kg": (0.35, 0.25),
        "rolling_deceleration_m_s2": (0.4, 0.25),
        "restitution": (0.4, 0.2),
        "yaw_damping_per_s": (0.4, 0.2),
    },
    "generic": {},
}
TINTS = {"ball": 0.6, "crate": 0.4, "worker": 0.4, "child": 0.5, "barrel": 0.4}
"""How far the hues of a kind's cards vary, where that is far."""

SAME_LOOK = {"child": "worker"}
COLOURS = {
    "table": (0.75, 0.6, 0.42),
    "bollard": (0.95, 0.8, 0.1),
    "cyclist": (0.3, 0.35, 0.6),
    "forklift": (0.9, 0.5, 0.1),
    "robot_vacuum": (0.12, 0.12, 0.13),
    "wheelchair": (0.25, 0.25, 0.28),
    "flight_case": (0.15, 0.15, 0.17),
    "suitcase": (0.35, 0.15, 0.2),
    "traffic_cone": (0.95, 0.4, 0.1),
    "bucket": (0.2, 0.35, 0.75),
    "chair": (0.4, 0.42, 0.45),
    "gas_bottle": (0.5, 0.55, 0.6),
    "gate": (0.85, 0.2, 0.15),
}
"""Colours of the kinds that no asset is shipped for."""

IDENTITY = frozenset({"axis_x_m", "axis_y_m"})


@dataclass(frozen=True, slots=True)
class Breed:
    """One kind of thing.

    Attributes:
        kind, family: as in `ModelCard`.
        medians: natural units, in the family's order.
        shape: one of box, sphere, cylinder, capsule.
        extent_m: nominal full edges (x forward, y, z).
        count: cards to make.
        size_spread: log spread of the size over the cards of the kind; 0.02 where it is one product.
        motion: speed mean, speed max, acceleration rms, turn rate rms, height of the bottom, share of time still.
        styles: second parts of the cards' names.
        starter: the first card is in the starter set.
        instance_spread: log spread of the size over the instances of one card.
    """

    kind: str
    family: str
    medians: tuple[float, ...]
    shape: str
    extent_m: tuple[float, float, float]
    count: int
    size_spread: float
    motion: tuple[float, float, float, float, float, float]
    styles: tuple[str, ...] = ("standard",)
    starter: bool = False
    instance_spread: float = 0.08
    provenance: str = field(default="")


STILL = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
PUSHED = (0.05, 0.4, 0.4, 0.1, 0.0, 0.9)
WALK = (1.1, 1.5, 0.8, 0.5, 0.0, 0.1)
SIZES = ("small", "medium", "large")

BREEDS: tuple[Breed, ...] = (
    # what the warehouse is made of: the first card of each is the starter
    Breed("wall", "static", (), "box", (6.0, 6.0, 3.0), 4, 0.05, STILL, ("plaster", "brick"), True, 1.0),
    Breed("shelf", "static", (), "box", (2.4, 0.6, 2.2), 8, 0.12, STILL, ("steel", "timber"), True),
    Breed("pillar", "static", (), "box", (0.4, 0.4, 3.0), 6, 0.12, STILL, ("concrete", "steel"), True),
    Breed("station", "static", (), "box", (0.9, 0.6, 0.5), 5, 0.08, STILL, ("belt", "table"), True),
    Breed("door_frame", "static", (), "box", (0.15, 0.15, 2.2), 4, 0.1, STILL, ("steel", "timber"), True, 0.15),
    Breed("table", "static", (), "box", (1.6, 0.8, 0.75), 6, 0.12, STILL, ("packing", "office")),
    Breed("bollard", "static", (), "cylinder", (0.2, 0.2, 1.1), 5, 0.1, STILL, ("yellow", "steel")),
    Breed("pallet", "rigid_body", (20.0, 0.6, 0.1, 0.02), "box", (1.2, 0.8, 0.144), 8, 0.05, PUSHED, ("euro", "plastic"), True),
    Breed("crate", "rigid_body", (12.0, 0.7, 0.15, 0.02), "box", (0.5, 0.4, 0.35), 18, 0.15, PUSHED, ("plastic", "timber"), True),
    Breed("parcel", "rigid_body", (4.0, 0.6, 0.1, 0.02), "box", (0.35, 0.35, 0.30), 16, 0.12, PUSHED, ("carton", "foil"), True),
    Breed("barrel", "rigid_body", (25.0, 0.5, 0.25, 0.02), "cylinder", (0.58, 0.58, 0.88), 12, 0.08, PUSHED, ("steel", "plastic"), True),
    Breed("door", "hinge", (-0.7, 0.0, 0.5), "box", (1.4, 0.06, 2.0), 8, 0.05, PUSHED, ("swing", "fire"), True, 0.05),
    Breed("robot", "vehicle", (5.0, 8.0, 0.05, 0.3), "box", (0.70, 0.50, 0.30), 5, 0.05, (0.6, 1.2, 0.7, 0.6, 0.0, 0.3), ("carrier",), True, 0.06),
    Breed("agv", "vehicle", (2.5, 4.0, 0.15, 0.02), "box", (1.2, 0.8, 0.5), 8, 0.1, (0.6, 1.0, 0.5, 0.3, 0.0, 0.2), ("tugger", "lifter"), True),
    Breed("worker", "person", (1.2, 4.0, 0.5, 0.6, 0.8), "box", (0.45, 0.55, 1.75), 14, 0.06, WALK, ("vest", "overall"), True),
    # what may come in
    Breed("cat", "cat", (2.2, 2.4, 5.0, 2.5, 4.0), "box", (0.45, 0.16, 0.30), 46, 0.12, (0.7, 2.0, 4.0, 2.5, 0.0, 0.4), ("tabby", "black", "ginger", "white", "grey")),
    Breed("dog", "dog", (1.6, 1.25, 1.8, 0.5), "box", (0.80, 0.26, 0.60), 46, 0.16, (1.0, 1.8, 2.0, 1.2, 0.0, 0.25), ("shepherd", "terrier", "hound", "retriever")),
    Breed("ball", "rolling_ball", (0.5, 0.15, 0.65, 0.6), "sphere", (0.32, 0.32, 0.32), 46, 0.35, (1.2, 2.2, 0.4, 5.0, 0.0, 0.1), ("rubber", "leather", "foam", "plastic")),
    Breed("trolley", "trolley", (25.0, 0.3, 0.2, 1.0), "box", (0.90, 0.55, 1.00), 42, 0.12, (0.9, 1.6, 0.4, 0.3, 0.0, 0.15), ("mesh", "platform", "shopping")),
    # what else moves about in such buildings
    Breed("child", "person", (1.1, 0.5, 1.5, 0.8, 0.8), "box", (0.30, 0.36, 1.15), 14, 0.1, (0.9, 2.0, 1.4, 1.0, 0.0, 0.2), ("toddler", "pupil")),
    Breed("cyclist", "person", (3.0, 1.2, 2.0, 1.5, 0.3), "box", (1.75, 0.60, 1.75), 10, 0.05, (2.8, 4.0, 0.8, 0.4, 0.0, 0.02), ("city", "cargo")),
    Breed("forklift", "vehicle", (2.0, 2.5, 0.4, 0.4), "box", (2.6, 1.2, 2.1), 10, 0.1, (1.2, 2.5, 0.8, 0.4, 0.0, 0.3), ("electric", "diesel")),
    Breed("robot_vacuum", "vehicle", (5.0, 6.0, 0.2, 0.5), "cylinder", (0.34, 0.34, 0.10), 10, 0.08, (0.25, 0.35, 0.4, 0.8, 0.0, 0.1), ("home", "office")),
    Breed("wheelchair", "vehicle", (2.0, 3.0, 0.3, 0.3), "box", (1.05, 0.65, 1.25), 8, 0.06, (0.8, 1.4, 0.6, 0.5, 0.0, 0.3), ("manual", "electric")),
    Breed("flight_case", "trolley", (45.0, 0.3, 0.2, 1.0), "box", (1.2, 0.6, 0.65), 8, 0.1, (0.5, 1.2, 0.4, 0.3, 0.0, 0.4), ("black", "aluminium")),
    Breed("suitcase", "rigid_body", (14.0, 0.5, 0.15, 0.02), "box", (0.48, 0.28, 0.72), 8, 0.1, PUSHED, ("cabin", "travel")),
    Breed("traffic_cone", "rigid_body", (2.0, 0.7, 0.2, 0.02), "cylinder", (0.36, 0.36, 0.70), 8, 0.12, PUSHED, ("orange", "lime")),
    Breed("bucket", "rigid_body", (1.2, 0.4, 0.2, 0.02), "cylinder", (0.30, 0.30, 0.29), 8, 0.1, PUSHED, ("blue", "zinc")),
    Breed("chair", "rigid_body", (6.0, 0.5, 0.1, 0.02), "box", (0.52, 0.50, 0.85), 8, 0.08, PUSHED, ("stacking", "office")),
    Breed("gas_bottle", "rigid_body", (35.0, 0.5, 0.1, 0.02), "cylinder", (0.23, 0.23, 1.45), 6, 0.1, PUSHED, ("oxygen", "propane")),
    Breed("gate", "hinge", (-0.45, 0.0, 0.8), "box", (0.9, 0.05, 1.1), 6, 0.08, PUSHED, ("barrier", "half-door")),
)  # fmt: skip


def make_cards(seed: int = 0) -> list[ModelCard]:
    """Return all shipped cards, drawn from `seed`."""
    rng = np.random.default_rng(seed)
    looks = json.loads(APPEARANCE_FILE.read_text())["looks"]
    cards = [_generic()]
    for breed in BREEDS:
        cards.extend(_cards_of(breed, _look(breed, looks), rng))
    return cards


def _cards_of(breed: Breed, look: tuple[float, ...], rng: np.random.Generator) -> Iterator[ModelCard]:
    for number in range(breed.count):
        drawn = number > 0  # the first card is the median itself
        scale = np.exp(drawn * breed.size_spread * rng.standard_normal())
        if breed.kind == "ball" and drawn:  # diameters from a hand's ball to a gym's, evenly in ratio
            scale = np.exp(np.interp(number, (1, breed.count - 1), np.log([0.12, 0.60]))) / breed.extent_m[0]
        each = np.exp(drawn * 0.3 * breed.size_spread * rng.standard_normal(3))
        if breed.shape in ("sphere", "cylinder"):
            each[1] = each[0]  # round things stay round
        if breed.shape == "sphere":
            each[:] = 1.0
        extent = np.round(np.asarray(breed.extent_m) * scale * each, 4)
        size = SIZES[int(np.digitize(np.log(extent.prod() / np.prod(breed.extent_m)) / 3.0, (-0.05, 0.05)))]
        style = breed.styles[number % len(breed.styles)]
        yield ModelCard(
            model_id=f"{breed.family.replace('_', '-')}/{breed.kind.replace('_', '-')}-{style}-{size}-{number:02d}",
            version=1,
            kind=breed.kind,
            family=breed.family,
            parameters=_parameters(breed, float(scale), extent, drawn, rng),
            shape=Shape(breed.shape, _triple(extent), _triple(np.round(breed.instance_spread * extent, 4))),
            descriptor=_descriptor(breed, look, drawn, rng),
            provenance="Drawn by worldsim_assets.make_cards around the medians of its kind.",
            tags=("starter",) if breed.starter and not drawn else (),
            evidence=Evidence(source="prior"),
        )


def _parameters(
    breed: Breed, scale: float, extent: np.ndarray, drawn: bool, rng: np.random.Generator
) -> tuple[ParameterPrior, ...]:
    priors = []
    for (name, (spread, between)), median in zip(PRIORS[breed.family].items(), breed.medians, strict=True):
        value = median * float(np.exp(drawn * between * rng.standard_normal()))
        if name == "mass_kg":
            value *= scale**3
        if name == "axis_x_m":
            value = -0.5 * float(extent[0])  # a leaf hangs at its edge
        if name == "restitution":
            value = min(value, 0.9)
        identity = name in IDENTITY
        priors.append(
            ParameterPrior(name, float(f"{value:.5g}"), spread, _unit(name), "identity" if identity else "log")
        )
    return tuple(priors)


def _descriptor(breed: Breed, look: tuple[float, ...], drawn: bool, rng: np.random.Generator) -> Descriptor:
    names = ("speed_mean", "speed_max", "acceleration_rms", "turn_rate_rms", "height", "still_share")
    pace = float(np.exp(drawn * 0.15 * rng.standard_normal()))
    motion = {
        n: float(f"{v * (pace if n.startswith(('speed', 'acc')) else 1.0):.4g}") for n, v in zip(names, breed.motion)
    }
    brightness, hue = rng.uniform(0.7, 1.1), rng.uniform(1.0 - TINTS.get(breed.kind, 0.15), 1.0, size=3)
    tint = brightness * hue if drawn else np.ones(3)
    seen = np.array(look) * np.concatenate([tint, tint, np.ones(len(look) - 6)])  # colour means and spreads scale
    seen[:6] = np.minimum(seen[:6], 1.0)
    colours = np.arange(len(seen)) < 6
    spread = np.where(colours, 0.03 + 0.12 * seen, 0.05)
    return Descriptor(tuple(float(v) for v in np.round(seen, 4)), tuple(float(v) for v in np.round(spread, 4)), motion)


def _look(breed: Breed, looks: dict[str, list[float]]) -> tuple[float, ...]:
    """Return the nominal appearance: that of the shipped asset, or of a plain body in the kind's colour."""
    name = SAME_LOOK.get(breed.kind, breed.kind)
    if name in looks:
        return tuple(looks[name])
    spec = BodySpec(
        breed.kind, breed.kind, breed.extent_m, (0.0, 0.0, 0.0), shape=breed.shape, colour=COLOURS[breed.kind]
    )
    return describe(spec)


def _generic() -> ModelCard:
    rows = (
        ("drag_h_per_s", 0.3, 0.8, "identity"),
        ("turn_rate_per_s", 0.0, 0.6, "identity"),
        ("thrust_m_s2", 0.0, 0.6, "identity"),
        ("height_stiffness_per_s2", 1.0, 2.0, "identity"),
        ("height_m", 0.5, 1.0, "identity"),
        ("drag_v_per_s", 1.0, 2.0, "identity"),
        ("noise_h", 0.12, 0.5, "log"),
        ("noise_v", 0.05, 0.5, "log"),
    )
    return ModelCard(
        model_id="generic/unknown",
        version=1,
        kind="generic",
        family="generic",
        parameters=tuple(ParameterPrior(n, m, s, _unit(n), t) for n, m, s, t in rows),  # type: ignore[arg-type]
        shape=Shape("box", (0.5, 0.5, 0.5), (0.4, 0.4, 0.4)),
        provenance="The broad start of everything unknown.",
        tags=("starter",),
        evidence=Evidence(source="prior"),
    )


def _unit(name: str) -> str:
    if name in ("noise_h", "noise_v", "drive_noise", "wander_noise"):
        return "m^2/s^3"  # a density of white acceleration, (m/s^2)^2 s
    ends = [u for u in UNITS if name.endswith("_" + u)]
    return UNITS[max(ends, key=len)] if ends else "1"


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def main() -> None:
    """Write the cards into the package's folder ``models``."""
    cards = make_cards()
    FOLDER.mkdir(exist_ok=True)
    write_models(cards, FOLDER)
    sys.stdout.write(f"{len(cards)} cards in {FOLDER}\n")


if __name__ == "__main__":
    main()
