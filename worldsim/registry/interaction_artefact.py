"""The artefact of an interaction: the same three files as a model's, with these tensors.

====================  =========  ==================================================================
tensor                shape      meaning
====================  =========  ==================================================================
``mean``              [Q]        coefficients of the law, SI units
``covariance``        [Q, Q]     of them
``strength_std``      [1]        spread of the strength of single pairs, as a share
``seen_m``            [2]        least and largest distance at which it was met
``pair_counts``       [n]        pairs of each pair of classes that it was met between
====================  =========  ==================================================================

The numbers are in ``config.json`` too, and loading compares them. The class is looked up by the card's family.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors.numpy import save

from worldsim.contracts.learned_interaction import LearnedInteraction
from worldsim.errors import CardError
from worldsim.registry.artefact import check_numbers, check_sum, read_files, read_tensors, sha256_of, write_files
from worldsim.registry.cards import MAX_CARD_BYTES
from worldsim.registry.interaction_cards import interaction_from_json, interaction_to_json, law_class
from worldsim.types.interaction_card import InteractionCard

__all__ = [
    "MAX_INTERACTION_BYTES",
    "check_interaction_bytes",
    "interaction_bytes",
    "interaction_files",
    "load_interaction",
    "open_interaction",
    "save_interaction",
]

MAX_INTERACTION_BYTES = MAX_CARD_BYTES
"""A ``model.safetensors`` of an interaction is never longer: it is at most a few hundred numbers."""


def interaction_bytes(card: InteractionCard) -> bytes:
    """Return the safetensors bytes of `card`'s numbers; the same card gives the same bytes."""
    return save(_tensors(card), metadata={"format": "np"})


def open_interaction(card: InteractionCard, data: bytes) -> LearnedInteraction:
    """Return the kind that `card` and its safetensors `data` describe.

    Raises:
        IntegrityError: `data` is not what the card's checksum says.
        CardError: `data` breaks the schema, or holds other numbers than the card.
        PluginError: no class of that family.
    """
    check_sum(card, data)
    check_interaction_bytes(card, data)
    return law_class(card.family, card.model_id)(card)


def check_interaction_bytes(card: InteractionCard, data: bytes) -> None:
    """Check `data` as `open_interaction` does, without making a kind of it.

    Raises:
        CardError: `data` breaks the schema, or holds other numbers than the card.
    """
    where = f"interaction {card.model_id}@{card.version}"
    tensors, expected = read_tensors(data, where), _tensors(card)
    if set(tensors) != set(expected):
        raise CardError(f"{where}: model.safetensors holds {sorted(tensors)}, its card asks for {sorted(expected)}.")
    check_numbers(tensors, expected, where)


def interaction_files(card: InteractionCard, data: bytes) -> dict[str, bytes]:
    """Return the three files of the artefact by name."""
    config = json.dumps(json.loads(interaction_to_json(card)), indent=2, ensure_ascii=False) + "\n"
    return {"README.md": _readme(card).encode(), "config.json": config.encode(), "model.safetensors": data}


def save_interaction(kind: LearnedInteraction, folder: str | Path) -> Path:
    """Write `kind` into `folder` as the three files; each appears whole or not at all.

    Raises:
        CardError: its card breaks the schema.
        StorageError: the folder cannot be written.
    """
    data = interaction_bytes(kind.card)
    return write_files(folder, interaction_files(kind.card.replace(sha256=sha256_of(data)), data))


def load_interaction(folder: str | Path) -> LearnedInteraction:
    """Return the kind in `folder`, checksum verified.

    Raises:
        StorageError: a file is missing or unreadable.
        IntegrityError: ``model.safetensors`` is not what ``config.json`` says.
        CardError: a file breaks its schema.
        PluginError: its family has no class in the plug-in table.
    """
    config, data = read_files(folder)
    return open_interaction(interaction_from_json(config), data)


def _tensors(card: InteractionCard) -> dict[str, Float[np.ndarray, "..."]]:
    return {
        "mean": np.array(card.mean, dtype=np.float64),
        "covariance": np.array(card.covariance, dtype=np.float64),
        "strength_std": np.array([card.strength_std], dtype=np.float64),
        "seen_m": np.array(card.seen_m, dtype=np.float64),
        "pair_counts": np.array([pair.count for pair in card.pairs], dtype=np.float64),
    }


def _readme(card: InteractionCard) -> str:
    tags = dict.fromkeys(["worldsim", "interaction", card.family, *card.tags])
    lines = [
        "---",
        "library_name: worldsim",
        f"license: {json.dumps(card.licence.lower())}",
        f"tags: {json.dumps(list(tags))}",
        f"model_name: {json.dumps(card.model_id)}",
        "---",
        "",
        f"# {card.model_id}, version {card.version}",
        "",
        f"A kind of interaction, run by the law `{card.family}` of worldsim. {card.provenance}".rstrip(),
        "",
        f"- acts on {'the source alone' if card.directed else 'both, equal and opposite'}; strength of single pairs "
        f"+- {100.0 * card.strength_std:.3g} %",
        f"- met at {card.seen_m[0]:.3g} to {card.seen_m[1]:.3g} m, looked for up to {card.reach_m:.3g} m",
        f"- evidence: {card.evidence.frames} frames, {card.evidence.log_evidence_gain_nats:.1f} nats over what was "
        f"known before ({card.evidence.source})",
        "- met between: " + (", ".join(f"{p.source} and {p.target} ({p.count})" for p in card.pairs) or "not said"),
        "",
        "| term | coefficient | spread |",
        "|---|---|---|",
    ]
    for place, (term, value) in enumerate(zip(card.terms, card.mean, strict=True)):
        lines.append(f"| {term} | {value:.4g} | +- {card.covariance[place][place] ** 0.5:.3g} |")
    return "\n".join(lines) + "\n"
