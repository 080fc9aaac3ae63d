"""How the machine code holds a scene, a sample's bodies and its contacts: arrays by name, read by place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from jaxtyping import Float, Int

Made = TypeVar("Made", bound=Callable[..., Any])

Vectors = Float[np.ndarray, "N 3"]
Motions = Float[np.ndarray, "N1 6"]
Matrices = Float[np.ndarray, "N1 3 3"]
Row = Float[np.ndarray, "7"]
"""A possible contact: gap (m), normal, point."""
Rows = Float[np.ndarray, "K 7"]

SPHERE, CAPSULE, BOX = 0, 1, 2
SLOTS = 5
"""Most contacts of a pair, and room enough for those of a body with a plane."""
CORNERS, DEEPEST = 8, 4
TINY = 1e-12


def jit(function: Made) -> Made:
    """Return the function in machine code, made where one that is kept calls it."""
    return cast(Made, numba.njit(nogil=True, error_model="numpy")(function))


class Rules(NamedTuple):
    """Step (s) and what `RolloutSettings` says."""

    dt_s: float
    iterations: int
    first_iterations: int
    margin_m: float
    restitution_threshold_m_s: float
    recovery: float
    slop_m: float


class Cast(NamedTuple):
    """Who there is: one row of numbers for all samples, or one for each; a body more, N, is what planes belong to.

    Attributes:
        kind: [N] `SPHERE`, `CAPSULE` or `BOX`.
        half: [S1, N, 3] m; reach: [S1, N] m, radius of the bounding sphere.
        inverse_mass: [S1, N + 1]; moments, inverse_moments: [S1, N + 1, 3]; 0 for what is fixed, but for the moments.
        surface: [S1, N, 2] friction and restitution.
        pairs: [P, 2]; grounded: [G].
        planes: [Q, 6] normal, offset, friction, restitution.
    """

    kind: Int[np.ndarray, " N"]
    half: Float[np.ndarray, "S1 N 3"]
    reach: Float[np.ndarray, "S1 N"]
    inverse_mass: Float[np.ndarray, "S1 N1"]
    moments: Float[np.ndarray, "S1 N1 3"]
    inverse_moments: Float[np.ndarray, "S1 N1 3"]
    surface: Float[np.ndarray, "S1 N 2"]
    pairs: Int[np.ndarray, "P 2"]
    grounded: Int[np.ndarray, " G"]
    planes: Float[np.ndarray, "Q 6"]


class Bodies(NamedTuple):
    """One sample's N bodies now, and one more, which stands still: what planes belong to.

    Attributes:
        centre: [N + 1, 3] m; attitude: [N, 4] xyzw; velocity, spin: [N + 1, 3].
        rotation, inertia: [N + 1, 3, 3] body to world, and inverse inertia in the world's axes.
        before, free, change: [N + 1, 6] velocity and spin at the start of the step, after everything but contacts, and
            what impulses change of them; twist: [N + 1, 6] impulse and angular impulse.
        swing: [N + 1] rad/s, size of the free spin.
        touched: [N + 1] number of contacts.
        moved: [N + 1, 4] m, sum of displacements out of others, and their number.
        onto: [N + 1] N s, normal impulses.
    """

    centre: Float[np.ndarray, "N1 3"]
    attitude: Float[np.ndarray, "N 4"]
    velocity: Float[np.ndarray, "N1 3"]
    spin: Float[np.ndarray, "N1 3"]
    rotation: Float[np.ndarray, "N1 3 3"]
    inertia: Float[np.ndarray, "N1 3 3"]
    before: Float[np.ndarray, "N1 6"]
    free: Float[np.ndarray, "N1 6"]
    change: Float[np.ndarray, "N1 6"]
    twist: Float[np.ndarray, "N1 6"]
    swing: Float[np.ndarray, " N1"]
    touched: Float[np.ndarray, " N1"]
    moved: Float[np.ndarray, "N1 4"]
    onto: Float[np.ndarray, " N1"]


class Contacts(NamedTuple):
    """One sample's contacts, as many as there may be: bodies, slot, numbers, and vectors of each.

    Attributes:
        who: [C, 3] first body, second body, slot of the last step's impulse.
        number: [C, 6] gap, friction, aim, steps along and across, whether it is a blow (1 or 0).
        normal, point, impulse, lookahead, target: [C, 3].
        lasting: [slots, 3] impulses of the step before.
        found: [K, 7] room for the possible contacts of one pair: gap, normal, point.
    """

    who: Int[np.ndarray, "C 3"]
    number: Float[np.ndarray, "C 6"]
    normal: Float[np.ndarray, "C 3"]
    point: Float[np.ndarray, "C 3"]
    impulse: Float[np.ndarray, "C 3"]
    lookahead: Float[np.ndarray, "C 3"]
    target: Float[np.ndarray, "C 3"]
    lasting: Float[np.ndarray, "slots 3"]
    found: Float[np.ndarray, "K 7"]
