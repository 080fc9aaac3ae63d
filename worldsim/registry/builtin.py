"""The cards that ship with worldsim, read from the package ``worldsim_assets``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np
from safetensors.numpy import load, save

from worldsim.errors import IntegrityError, StorageError
from worldsim.registry.artefact import model_bytes, sha256_of
from worldsim.registry.cards import card_from_json, card_to_json
from worldsim.types.card import ModelCard

__all__ = ["CARDS_FILE", "CHECKSUMS_FILE", "PARAMETERS_FILE", "shipped_models", "write_models"]

CARDS_FILE = "cards.jsonl"
PARAMETERS_FILE = "parameters.safetensors"
CHECKSUMS_FILE = "SHA256SUMS"


def shipped_models(folder: Traversable | None = None) -> Iterator[tuple[ModelCard, bytes]]:
    """Yield each shipped card with its safetensors bytes, checksums verified.

    Args:
        folder: where the three files lie, the package's own folder where None.

    Raises:
        StorageError: a file is missing.
        IntegrityError: a file is not what its checksum says.
    """
    folder = _package_folder() if folder is None else folder
    try:
        lines = [line.split("  ", 1) for line in (folder / CHECKSUMS_FILE).read_text().splitlines()]
        sums = {name: digest for digest, name in lines}
        content = {name: (folder / name).read_bytes() for name in (CARDS_FILE, PARAMETERS_FILE)}
    except (OSError, ValueError) as error:
        raise StorageError(f"shipped model cards cannot be read from {folder}: {error}. Reinstall worldsim.") from error
    for name, data in content.items():
        found = hashlib.sha256(data).hexdigest()
        if sums.get(name) != found:
            raise IntegrityError(
                f"{folder / name} has sha256 {found[:12]}..., {CHECKSUMS_FILE} says {sums.get(name, '(nothing)')[:12]}"
                "...; reinstall worldsim, or write the files again with 'python -m worldsim_assets.make_cards'."
            )
    tensors: dict[str, dict[str, np.ndarray]] = {}
    for key, value in load(content[PARAMETERS_FILE]).items():
        model_id, _, name = key.partition(":")
        tensors.setdefault(model_id, {})[name] = value
    for line in content[CARDS_FILE].splitlines():
        card = card_from_json(line)
        yield card, save(tensors[card.model_id], metadata={"format": "np"})


def write_models(cards: list[ModelCard], folder: Traversable) -> None:
    """Write `cards`, ordered by id, as the three files of `folder`. The same cards give the same bytes."""
    lines, tensors = [], {}
    for card in sorted(cards, key=lambda c: c.model_id):
        data = model_bytes(card)
        lines.append(card_to_json(card.replace(sha256=sha256_of(data))))
        tensors.update({f"{card.model_id}:{name}": value for name, value in load(data).items()})
    content = {
        CARDS_FILE: ("\n".join(lines) + "\n").encode(),
        PARAMETERS_FILE: save(tensors, metadata={"format": "np"}),
    }
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in content.items())
    for name, data in {**content, CHECKSUMS_FILE: sums.encode()}.items():
        (folder / name).write_bytes(data)  # type: ignore[attr-defined]


def _package_folder() -> Traversable:
    try:
        return files("worldsim_assets") / "models"
    except ModuleNotFoundError as error:
        raise StorageError(
            "the shipped model cards are in the package 'worldsim_assets', which is not installed. Install "
            "worldsim-lab whole (pip install -e . in the source tree)."
        ) from error
