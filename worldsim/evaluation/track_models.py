"""What the world model is told of the things in each recording before it sees them: one card a kind.

The cards are priors, not fits: sizes from the rigs' descriptions, friction and restitution as wide as for anything
made of plastic, people's habits from the literature named at each number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from worldsim.contracts.object_model import ObjectModel
from worldsim.models.person import Person
from worldsim.models.rigid_body import RigidBody
from worldsim.types.card import ModelCard, ParameterPrior, Shape

__all__ = ["MODELS", "pedestrian", "tossed_box"]


def tossed_box(kind: str, extent_m: tuple[float, float, float], mass_kg: float) -> RigidBody:
    """Return the model of a plastic box, friction and restitution unknown within a factor of about two."""
    card = ModelCard(
        model_id=f"rigid-body/{kind}",
        version=1,
        kind=kind,
        family=RigidBody.family,
        parameters=(
            ParameterPrior("mass_kg", mass_kg, 0.1, "kg", "log"),
            ParameterPrior("friction", 0.3, 0.5, "1", "log"),
            ParameterPrior("restitution", 0.2, 0.7, "1", "log"),
            ParameterPrior("drag_per_s", 0.01, 0.5, "1/s", "log"),
        ),
        shape=Shape("box", extent_m, (0.03 * extent_m[0], 0.03 * extent_m[1], 0.03 * extent_m[2])),
        provenance="Prior: the rig's description, and friction and restitution of plastic on plastic.",
    )
    return RigidBody(card)


def pedestrian() -> Person:
    """Return the model of somebody among others in a public place.

    Walking speed: 1.3 m/s (Weidmann 1993), held loosely: people who stroll, slow down or stand are common, so the
    pull to the preferred speed is slow. Avoidance by acceleration is faint at walking distances (steps aside are
    wander); wander is a change of velocity of about 0.14 m/s in 0.4 s.
    """
    card = ModelCard(
        model_id="person/pedestrian",
        version=1,
        kind="pedestrian",
        family=Person.family,
        parameters=(
            ParameterPrior("preferred_speed_m_s", 1.3, 0.3, "m/s", "log"),
            ParameterPrior("relaxation_time_s", 60.0, 0.3, "s", "log"),
            ParameterPrior("avoid_strength_m_s2", 0.02, 0.3, "m/s^2", "log"),
            ParameterPrior("avoid_range_m", 0.5, 0.3, "m", "log"),
            ParameterPrior("wander_noise", 0.048, 0.05, "m^2/s^3", "log"),
        ),
        shape=Shape("box", (0.45, 0.45, 1.75), (0.06, 0.06, 0.1)),
        provenance="Prior: Weidmann (1993) for the pace; wander as wide as people's changes of pace and direction.",
    )
    return Person(card)


MODELS: Mapping[str, Callable[[], list[ObjectModel]]] = {
    "cube-toss": lambda: [tossed_box("cube", (0.1048, 0.1048, 0.1048), 0.37)],
    "elbow-toss": lambda: [tossed_box("elbow_link", (0.1, 0.05, 0.05), 0.37)],
    "planar-drop": lambda: [tossed_box("square", (0.06, 0.06, 0.06), 0.06)],
    "double-pendulum": list,
    "crowd": lambda: [pedestrian()],
}
"""Recording -> models to load beside the broad one, which alone runs what has no card (the pendulum's links)."""
