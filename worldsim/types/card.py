"""The model card: everything that is known of an object model, as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SHAPES = ("box", "sphere", "cylinder", "capsule")
TRANSFORMS = ("identity", "log")


@dataclass(frozen=True, slots=True)
class ParameterPrior:
    """A Gaussian prior on one parameter, in transformed coordinates.

    Attributes:
        name: for example ``mass_kg``; the unit is part of the name where there is one.
        mean: prior median, in natural units (must be > 0 for ``log``).
        std: standard deviation in transformed coordinates (so 0.3 with ``log`` is about 30 %). 0 fixes it.
        unit: SI unit, ``"1"`` for a ratio.
        transform: ``identity`` or ``log``; the filter holds the transformed value, models get natural units.
    """

    name: str
    mean: float
    std: float
    unit: str = "1"
    transform: Literal["identity", "log"] = "identity"


@dataclass(frozen=True, slots=True)
class Shape:
    """Collision geometry and its size as a belief.

    Attributes:
        kind: one of `SHAPES`.
        extent_m: prior mean of the full edge lengths (x, y, z) of the bounding box.
        extent_std_m: prior standard deviations of the same, over instances.
    """

    kind: str
    extent_m: tuple[float, float, float]
    extent_std_m: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a search compares: appearance and motion statistics (the shape is in `Shape`). Parts may be missing.

    Attributes:
        appearance: [A] prior mean of the appearance descriptor, None where unknown.
        appearance_std: [A] standard deviation over instances.
        motion: named motion statistics, for example ``speed_mean`` (m/s), ``speed_max``, ``acceleration_rms``
            (m/s^2), ``turn_rate_rms`` (rad/s), ``height`` (m above the floor), ``still_share`` (1).
    """

    appearance: tuple[float, ...] | None = None
    appearance_std: tuple[float, ...] | None = None
    motion: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why the model was accepted: frames seen and the log evidence gained over the generic model."""

    frames: int = 0
    log_evidence_gain_nats: float = 0.0
    source: str = "prior"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One object model as data. The class that runs it is looked up by `family` in the plug-in table.

    Attributes:
        model_id: ``family-path/name``, unique in a registry, for example ``cat/tabby-small``.
        version: integer, counts up; nothing is overwritten.
        kind: what a person would call it: ``cat``, ``worker``, ``crate``. Decisions and reports use it.
        family: name of the `ObjectModel` class in the plug-in table (entry-point group
            ``worldsim.object_models``), for example ``cat`` or ``rigid_body``.
        parameters: priors of the class's parameters, in the class's order.
        shape: geometry prior.
        descriptor: what a search compares.
        licence: SPDX identifier.
        provenance: where it came from, in words.
        tags: free words; ``starter`` marks the models that a new world model loads.
        evidence: why it was accepted.
        parents: ``model_id@version`` of what it was derived from.
        sha256: of the safetensors bytes, filled by the store.
    """

    model_id: str
    version: int
    kind: str
    family: str
    parameters: tuple[ParameterPrior, ...]
    shape: Shape
    descriptor: Descriptor = field(default_factory=Descriptor)
    licence: str = "MIT"
    provenance: str = ""
    tags: tuple[str, ...] = ()
    evidence: Evidence = field(default_factory=Evidence)
    parents: tuple[str, ...] = ()
    sha256: str = ""

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters, in column order."""
        return tuple(p.name for p in self.parameters)

    def replace(self, **changes: Any) -> ModelCard:
        """Return a copy with `changes` applied (see `dataclasses.replace`)."""
        return dataclasses.replace(self, **changes)
