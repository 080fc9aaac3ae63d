"""What the simulator knows. Only scoring code may read it (a test walks the imports)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from worldsim.types.observation import Viewpoints


@dataclass(frozen=True, slots=True)
class WorldTruth:
    """The true states of N bodies.

    Attributes:
        time_s: s since reset.
        names: unique name of each body.
        kinds: what each is, in the words of the model cards (``cat``, ``crate`` ...).
        position: [N, 3] m; orientation_xyzw: [N, 4]; linear_velocity: [N, 3] m/s; angular_velocity: [N, 3] rad/s.
        extent_m: [N, 3] full edge lengths.
        visible: [N] a sensor had a line of sight to it in the last observation.
        intruder: name of the intruder, None before it enters.
        contacts: names of touching pairs, with the normal force in N.
        supports: (carrier, carried) pairs of names.
        attachments: pairs held by a constraint.
        ego: name of the commanded body, None for a passive world.
        appearance: [N, A] appearance descriptors, as measured from renderings; None where nothing is known of looks.
        viewpoints: where the sensors are.
        absent: names of bodies that are not in the scene now (who has not come yet, or has left).
        forces: (first, second, kind, strength) of every force between two bodies that is switched on, SI units.
        containments: (container, content) pairs of names: the content's centre is in the container's cavity.
    """

    time_s: float
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    position: Float[np.ndarray, "N 3"]
    orientation_xyzw: Float[np.ndarray, "N 4"]
    linear_velocity: Float[np.ndarray, "N 3"]
    angular_velocity: Float[np.ndarray, "N 3"]
    extent_m: Float[np.ndarray, "N 3"]
    visible: np.ndarray
    intruder: str | None = None
    contacts: tuple[tuple[str, str, float], ...] = ()
    supports: tuple[tuple[str, str], ...] = ()
    attachments: tuple[tuple[str, str], ...] = ()
    extra: dict[str, float] = field(default_factory=dict)
    ego: str | None = None
    appearance: Float[np.ndarray, "N A"] | None = None
    viewpoints: Viewpoints = field(default_factory=Viewpoints.everywhere)
    absent: frozenset[str] = frozenset()
    forces: tuple[tuple[str, str, str, float], ...] = ()
    containments: tuple[tuple[str, str], ...] = ()
