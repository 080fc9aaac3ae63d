"""Parts of the truth of a frame: how bodies look, who touches, who carries whom, and what lies in what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from worldsim.errors import ConfigurationError
from worldsim.simulation.engine import Contact
from worldsim.simulation.geometry import rotation_matrix
from worldsim.simulation.scene import BodySpec, Cavity
from worldsim.types.observation import APPEARANCE_DIM
from worldsim.types.truth import WorldTruth

_SUPPORT_SHARE = 0.7  # of a contact force that must point upwards for it to carry


def with_contacts(
    truth: WorldTruth,
    contacts: Iterable[Contact],
    brief: Iterable[tuple[int, int]],
    names: Sequence[str],
    listed: frozenset[int],
) -> WorldTruth:
    """Return `truth` with its contacts and supports.

    Args:
        truth: without them.
        contacts: at the end of the frame, by the bodies' numbers.
        brief: pairs that touched within the frame, perhaps no longer at its end.
        names: of all bodies, by number.
        listed: the bodies that are part of the truth; the rest is background.
    """
    found: dict[tuple[str, str], float] = {}
    supports = set()
    for contact in contacts:
        if contact.a not in listed or contact.b not in listed:
            continue
        a, b = names[contact.a], names[contact.b]
        pair = (a, b) if a < b else (b, a)
        found[pair] = found.get(pair, 0.0) + contact.force_n
        if abs(contact.normal_z) > _SUPPORT_SHARE:
            supports.add((b, a) if contact.normal_z > 0.0 else (a, b))
    for i, j in brief:
        if i in listed and j in listed:
            a, b = names[i], names[j]
            found.setdefault((a, b) if a < b else (b, a), 0.0)
    listing = tuple((a, b, force) for (a, b), force in sorted(found.items()))
    return replace(truth, contacts=listing, supports=tuple(sorted(supports)))


def with_containments(truth: WorldTruth, cavities: Mapping[str, Cavity]) -> WorldTruth:
    """Return `truth` with who lies in whom, from exact poses: a content's centre is within a container's cavity.

    Args:
        truth: without them.
        cavities: name of a container -> its cavity.
    """
    found = []
    for name, cavity in cavities.items():
        row = truth.names.index(name)
        x, y, z, w = (float(v) for v in truth.orientation_xyzw[row])
        from_centre = (truth.position - truth.position[row]) @ rotation_matrix((x, y, z, w))
        inside = (np.abs(from_centre - cavity.centre_m) < 0.5 * np.asarray(cavity.extent_m)).all(axis=1)
        inside[row] = False
        found += [(name, truth.names[i]) for i in np.flatnonzero(inside) if truth.names[i] not in truth.absent]
    return replace(truth, containments=tuple(sorted(found)))


def look_of(spec: BodySpec) -> Float[np.ndarray, " A"]:
    """Return the appearance descriptor of a body.

    Raises:
        ConfigurationError: it has none, or one of another length.
    """
    if spec.appearance is None:
        raise ConfigurationError(
            f"BodySpec {spec.name!r}: no appearance. Describe its look once with "
            "worldsim.simulation.appearance.describe and give it as `appearance`."
        )
    if len(spec.appearance) != APPEARANCE_DIM:
        raise ConfigurationError(
            f"BodySpec {spec.name!r}: appearance has {len(spec.appearance)} numbers, expected {APPEARANCE_DIM}."
        )
    return np.asarray(spec.appearance, dtype=np.float64)
