"""Model cards as JSON: a strict schema, since a card may come from anyone.

Nothing in a card is code. A card names its class by `family`, which is looked up in the plug-in table and nowhere
else; every number is finite and bounded, every name is made of a small alphabet, every list has a longest length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from worldsim.contracts.object_model import ObjectModel
from worldsim.errors import CardError, PluginError, UnknownNameError
from worldsim.plugins import load_plugin
from worldsim.types.card import Descriptor, Evidence, ModelCard, ParameterPrior, Shape
from worldsim.types.observation import APPEARANCE_DIM

__all__ = [
    "MAX_CARD_BYTES",
    "CardDocument",
    "card_from_json",
    "card_to_json",
    "check_model_id",
    "dump_card",
    "model_class",
]

MAX_CARD_BYTES = 64 * 1024
"""A card's JSON is never longer; the longest card that the schema allows is about half of it."""

_LARGEST = 1e9  # beyond any SI quantity of an object, and far from overflow when it is squared

Number = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST, allow_inf_nan=False)]
Length = Annotated[float, Field(gt=0.0, le=1e4, allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=0.0, le=_LARGEST, allow_inf_nan=False)]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]
# one slash and at most 96 characters, no "--" nor "..": what the Hugging Face client takes for a repository's id
_ID = r"[a-z0-9](?:[._-]?[a-z0-9])*/[a-z0-9](?:[._-]?[a-z0-9])*"
ModelId = Annotated[str, StringConstraints(pattern=rf"^{_ID}$", max_length=96)]
Parent = Annotated[str, StringConstraints(pattern=rf"^{_ID}@[0-9]{{1,9}}$", max_length=106)]
Licence = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+ ()-]{0,63}$")]
# no control characters but tab and line feed: text fields are printed, and PostgreSQL stores no NUL
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$", max_length=4000)]
Triple = Annotated[tuple[Length, Length, Length], Field()]
Appearance = Annotated[tuple[Number, ...], Field(min_length=APPEARANCE_DIM, max_length=APPEARANCE_DIM)]
AppearanceStd = Annotated[tuple[Spread, ...], Field(min_length=APPEARANCE_DIM, max_length=APPEARANCE_DIM)]


class _Document(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ParameterDocument(_Document):
    """JSON form of `ParameterPrior`."""

    name: Name
    mean: Number
    std: Spread
    unit: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9%/^*(). -]{1,32}$")]
    transform: Literal["identity", "log"]

    @model_validator(mode="after")
    def _log_needs_a_positive_mean(self) -> ParameterDocument:
        if self.transform == "log" and not self.mean > 0.0:
            raise ValueError(f"mean {self.mean} with transform 'log', expected > 0; did you mean transform 'identity'?")
        return self


class ShapeDocument(_Document):
    """JSON form of `Shape`."""

    kind: Literal["box", "sphere", "cylinder", "capsule"]
    extent_m: Triple
    extent_std_m: tuple[Spread, Spread, Spread]


class DescriptorDocument(_Document):
    """JSON form of `Descriptor`."""

    appearance: Appearance | None
    appearance_std: AppearanceStd | None
    motion: Annotated[dict[Name, Number], Field(max_length=32)]


class EvidenceDocument(_Document):
    """JSON form of `Evidence`."""

    frames: Annotated[int, Field(ge=0, le=10**12)]
    log_evidence_gain_nats: Number
    source: Annotated[Text, StringConstraints(max_length=200)]


class CardDocument(_Document):
    """JSON form of `ModelCard`: what ``config.json`` holds and what the service speaks."""

    format: Literal["worldsim-model-card/1"] = "worldsim-model-card/1"
    model_id: ModelId
    version: Annotated[int, Field(ge=0, le=999_999_999)]
    kind: Word
    family: Name
    parameters: Annotated[tuple[ParameterDocument, ...], Field(max_length=64)]
    shape: ShapeDocument
    descriptor: DescriptorDocument
    licence: Licence
    provenance: Text
    tags: Annotated[tuple[Word, ...], Field(max_length=32)]
    evidence: EvidenceDocument
    parents: Annotated[tuple[Parent, ...], Field(max_length=64)]
    sha256: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")]

    @model_validator(mode="after")
    def _parameter_names_differ(self) -> CardDocument:
        names = [p.name for p in self.parameters]
        if len(set(names)) != len(names):
            raise ValueError(f"parameters {names} name one twice")
        return self

    def card(self) -> ModelCard:
        """Return the card as the rest of worldsim knows it."""
        shape, descriptor, evidence = self.shape, self.descriptor, self.evidence
        return ModelCard(
            self.model_id,
            self.version,
            self.kind,
            self.family,
            tuple(ParameterPrior(p.name, p.mean, p.std, p.unit, p.transform) for p in self.parameters),
            Shape(shape.kind, shape.extent_m, shape.extent_std_m),
            Descriptor(descriptor.appearance, descriptor.appearance_std, descriptor.motion),
            self.licence,
            self.provenance,
            self.tags,
            Evidence(evidence.frames, evidence.log_evidence_gain_nats, evidence.source),
            self.parents,
            self.sha256,
        )


def card_to_json(card: ModelCard) -> str:
    """Return `card` as one line of JSON, always the same for the same card.

    Raises:
        CardError: the card breaks the schema; the message names the field.
    """
    text = dump_card(card)
    card_from_json(text)
    return text


def dump_card(card: ModelCard) -> str:
    """Return `card` as `card_to_json` does, for a card that was checked already.

    Raises:
        CardError: the card holds what JSON cannot.
    """
    return one_line(_as_mapping(card), card.model_id)


def one_line(card: Mapping[str, Any], model_id: object) -> str:
    """Return a card of any sort as one line of JSON.

    Args:
        card: its fields.
        model_id: what an error names it by.

    Raises:
        CardError: the card holds what JSON cannot.
    """
    try:
        text = json.dumps(card, allow_nan=False, separators=(",", ":"), default=_plain)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise CardError(f"card {_short(model_id)}: {error}. A card holds finite numbers and text only.") from error
    return text


def card_from_json(text: str | bytes) -> ModelCard:
    """Return the card that `text` holds.

    Raises:
        CardError: not JSON, too long, or against the schema; the message names the first field that is.
    """
    if len(text) > MAX_CARD_BYTES:
        raise CardError(f"a card of {len(text)} bytes, expected at most {MAX_CARD_BYTES}.")
    try:
        return CardDocument.model_validate_json(text).card()
    except ValidationError as error:
        raise CardError(explain(error, _claimed_id(text))) from error


def explain(error: ValidationError, model_id: str) -> str:
    """Return the first finding of `error` in one line: which card, which field, what was wrong, what was got."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "the whole card"
    count = error.error_count()
    more = f" ({count - 1} more findings)" if count > 1 else ""
    return f"card {_short(model_id)}, field {field}: {first['msg']}, got {_short(first['input'])}{more}."


def check_model_id(model_id: str) -> str:
    """Return `model_id` if it is well formed.

    Raises:
        CardError: it is not of the form ``family/name`` in small letters, digits and single ``. _ -``.
    """
    if not isinstance(model_id, str) or len(model_id) > 96 or re.fullmatch(_ID, model_id) is None:
        raise CardError(
            f"model id {_short(model_id)}, expected 'family/name' in [a-z0-9] with single . _ - between, "
            "at most 96 characters."
        )
    return model_id


def model_class(family: str, model_id: str = "") -> type[ObjectModel]:
    """Return the class of `family` from the plug-in table.

    Raises:
        PluginError: no plug-in of that name, or a broken one; the message lists the names there are.
    """
    try:
        return load_plugin("worldsim.object_models", family, ObjectModel)  # type: ignore[type-abstract, unused-ignore]
    except UnknownNameError as error:
        who = f"card {model_id!r}: " if model_id else ""
        raise PluginError(f"{who}{error} Install the package that brings this family, or correct the card.") from error


def _as_mapping(card: ModelCard) -> dict[str, Any]:
    descriptor = card.descriptor
    return {
        "format": "worldsim-model-card/1",
        "model_id": card.model_id,
        "version": card.version,
        "kind": card.kind,
        "family": card.family,
        "parameters": [
            {"name": p.name, "mean": p.mean, "std": p.std, "unit": p.unit, "transform": p.transform}
            for p in card.parameters
        ],
        "shape": {
            "kind": card.shape.kind,
            "extent_m": list(card.shape.extent_m),
            "extent_std_m": list(card.shape.extent_std_m),
        },
        "descriptor": {
            "appearance": None if descriptor.appearance is None else list(descriptor.appearance),
            "appearance_std": None if descriptor.appearance_std is None else list(descriptor.appearance_std),
            "motion": dict(sorted(descriptor.motion.items())),
        },
        "licence": card.licence,
        "provenance": card.provenance,
        "tags": list(card.tags),
        "evidence": {
            "frames": card.evidence.frames,
            "log_evidence_gain_nats": card.evidence.log_evidence_gain_nats,
            "source": card.evidence.source,
        },
        "parents": list(card.parents),
        "sha256": card.sha256,
    }


def _plain(value: Any) -> Any:
    """Return a numpy or torch scalar as the Python number it stands for."""
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(f"{type(value).__name__} {_short(value)} is no JSON value")
    return item()


def _claimed_id(text: str | bytes) -> str:
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError):
        return "(unreadable)"
    return str(loaded.get("model_id", "(unnamed)")) if isinstance(loaded, Mapping) else "(unnamed)"


def _short(value: Any) -> str:
    shown = ascii(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
