"""Cards of interactions as JSON: a schema as strict as that of model cards, and for the same reason."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from worldsim.contracts.learned_interaction import LAWS, LearnedInteraction
from worldsim.errors import CardError, PluginError, UnknownNameError
from worldsim.plugins import load_plugin
from worldsim.registry.cards import (
    MAX_CARD_BYTES,
    EvidenceDocument,
    Length,
    Licence,
    ModelId,
    Name,
    Number,
    Parent,
    Text,
    Word,
    explain,
    one_line,
)
from worldsim.types.card import Evidence
from worldsim.types.interaction_card import ClassPair, InteractionCard

__all__ = [
    "FORMAT",
    "MAX_TERMS",
    "Covariance",
    "InteractionDocument",
    "Mean",
    "Terms",
    "dump_interaction",
    "interaction_from_json",
    "interaction_to_json",
    "is_interaction",
    "law_class",
]

FORMAT = "worldsim-interaction-card/1"
MAX_TERMS = 16
"""A law has at most so many coefficients."""

_SYMMETRY = 1e-9  # relative to the two variances: what a float64 product may be off
_Row = Annotated[tuple[Number, ...], Field(min_length=1, max_length=MAX_TERMS)]
Mean = _Row
Covariance = Annotated[tuple[_Row, ...], Field(min_length=1, max_length=MAX_TERMS)]
_Term = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_^/*+(). -]{1,32}$")]
Terms = Annotated[tuple[_Term, ...], Field(min_length=1, max_length=MAX_TERMS)]


class _Document(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ClassPairDocument(_Document):
    """JSON form of `ClassPair`."""

    source: Word
    target: Word
    count: Annotated[int, Field(ge=1, le=10**12)]


class InteractionDocument(_Document):
    """JSON form of `InteractionCard`: what ``config.json`` holds and what the service speaks."""

    format: Literal["worldsim-interaction-card/1"] = "worldsim-interaction-card/1"
    model_id: ModelId
    version: Annotated[int, Field(ge=0, le=999_999_999)]
    kind: Word
    family: Name
    terms: Terms
    mean: Mean
    covariance: Covariance
    strength_std: Annotated[float, Field(ge=0.0, le=1e3, allow_inf_nan=False)]
    reach_m: Length
    seen_m: tuple[Length, Length]
    directed: bool
    pairs: Annotated[tuple[ClassPairDocument, ...], Field(max_length=256)]
    licence: Licence
    provenance: Text
    tags: Annotated[tuple[Word, ...], Field(max_length=32)]
    evidence: EvidenceDocument
    parents: Annotated[tuple[Parent, ...], Field(max_length=64)]
    sha256: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")]

    @model_validator(mode="after")
    def _the_law_is_a_gaussian(self) -> InteractionDocument:
        check_gaussian(self.terms, self.mean, self.covariance)
        if self.seen_m[0] > self.seen_m[1]:
            raise ValueError(f"seen_m {self.seen_m}, expected least distance first")
        return self

    def card(self) -> InteractionCard:
        """Return the card as the rest of worldsim knows it."""
        evidence = self.evidence
        return InteractionCard(
            self.model_id,
            self.version,
            self.kind,
            self.family,
            self.terms,
            self.mean,
            self.covariance,
            self.strength_std,
            self.reach_m,
            self.seen_m,
            self.directed,
            tuple(ClassPair(pair.source, pair.target, pair.count) for pair in self.pairs),
            self.licence,
            self.provenance,
            self.tags,
            Evidence(evidence.frames, evidence.log_evidence_gain_nats, evidence.source),
            self.parents,
            self.sha256,
        )


def check_gaussian(
    terms: tuple[str, ...] | None, mean: tuple[float, ...], covariance: tuple[tuple[float, ...], ...]
) -> None:
    """Check that terms, mean and covariance belong together, and that the covariance is one.

    Raises:
        ValueError: they do not, or it is not symmetric and positive definite.
    """
    count = len(mean)
    if (terms is not None and len(terms) != count) or {len(covariance), *map(len, covariance)} != {count}:
        raise ValueError(
            f"{len(terms or ())} terms, {count} coefficients and a covariance of {len(covariance)} rows of "
            f"{sorted(set(map(len, covariance)))}; expected one number of all"
        )
    matrix = np.array(covariance)
    scale = np.sqrt(np.abs(np.outer(matrix.diagonal(), matrix.diagonal())))
    if (np.abs(matrix - matrix.T) > _SYMMETRY * scale).any():
        raise ValueError("covariance is not symmetric")
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError as error:
        raise ValueError("covariance is not positive definite") from error


def interaction_to_json(card: InteractionCard) -> str:
    """Return `card` as one line of JSON, always the same for the same card.

    Raises:
        CardError: the card breaks the schema; the message names the field.
    """
    text = dump_interaction(card)
    interaction_from_json(text)
    return text


def dump_interaction(card: InteractionCard) -> str:
    """Return `card` as `interaction_to_json` does, for a card that was checked already.

    Raises:
        CardError: the card holds what JSON cannot.
    """
    return one_line(_as_mapping(card), card.model_id)


def interaction_from_json(text: str | bytes) -> InteractionCard:
    """Return the card that `text` holds.

    Raises:
        CardError: not JSON, too long, or against the schema; the message names the first field that is.
    """
    if len(text) > MAX_CARD_BYTES:
        raise CardError(f"a card of {len(text)} bytes, expected at most {MAX_CARD_BYTES}.")
    try:
        return InteractionDocument.model_validate_json(text).card()
    except ValidationError as error:
        raise CardError(explain(error, "of an interaction")) from error


def is_interaction(config: bytes) -> bool:
    """Return whether a ``config.json`` says that it is the card of an interaction; it is not checked otherwise."""
    if len(config) > 4 * MAX_CARD_BYTES:
        return False
    try:
        found = json.loads(config)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("format") == FORMAT


def law_class(family: str, model_id: str = "") -> type[LearnedInteraction]:
    """Return the class of `family` from the plug-in table.

    Raises:
        PluginError: no plug-in of that name, or a broken one; the message lists the names there are.
    """
    try:
        return load_plugin(LAWS, family, LearnedInteraction)  # type: ignore[type-abstract, unused-ignore]
    except UnknownNameError as error:
        who = f"card {model_id!r}: " if model_id else ""
        raise PluginError(f"{who}{error} Install the package that brings this family, or correct the card.") from error


def _as_mapping(card: InteractionCard) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "model_id": card.model_id,
        "version": card.version,
        "kind": card.kind,
        "family": card.family,
        "terms": list(card.terms),
        "mean": list(card.mean),
        "covariance": [list(row) for row in card.covariance],
        "strength_std": card.strength_std,
        "reach_m": card.reach_m,
        "seen_m": list(card.seen_m),
        "directed": card.directed,
        "pairs": [{"source": pair.source, "target": pair.target, "count": pair.count} for pair in card.pairs],
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
