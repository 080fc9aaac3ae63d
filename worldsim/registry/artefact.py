"""The model artefact: ``model.safetensors`` + ``config.json`` + ``README.md``, in Hugging Face's conventions.

The tensors are data and are read as data: only the names below, only their shapes and types, every number finite.

======================  =========  ==========================================================
tensor                  shape      meaning
======================  =========  ==========================================================
``prior_mean``          [P]        prior means in transformed coordinates (log where so)
``prior_std``           [P]        prior standard deviations in transformed coordinates
``extent_m``            [3]        prior mean of the size; ``extent_std_m`` its spread
``appearance``          [A]        descriptor, where the card has one; ``appearance_std`` alike
``test_stream.*``       [T, ...]   a short recording, and the model's log evidence on it
======================  =========  ==========================================================

The class and the names, units and transforms come from ``config.json``, the card. The numbers are in both, and
loading compares them: a card and a tensor file that do not belong together are refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.numpy import load, save

from worldsim.contracts.object_model import ObjectModel
from worldsim.errors import CardError, IntegrityError, StorageError
from worldsim.registry.cards import card_from_json, card_to_json, model_class
from worldsim.types.card import ModelCard
from worldsim.types.interaction_card import InteractionCard

__all__ = [
    "MAX_MODEL_BYTES",
    "TestStream",
    "check_numbers",
    "check_sum",
    "from_pretrained",
    "model_bytes",
    "model_files",
    "open_model",
    "read_files",
    "read_pretrained",
    "read_tensors",
    "readme",
    "save_pretrained",
    "sha256_of",
    "write_files",
]

MAX_MODEL_BYTES = 16 * 1024 * 1024
"""A model file is never longer."""

_MAX_HEADER_BYTES = 64 * 1024  # a header of this schema is under 2 kB; a longer one is an attack
_AGREEMENT = 1e-9  # relative; the same numbers, once through a logarithm of another machine's libm
_STREAM_COLUMNS = {"time_s": 0, "position": 3, "orientation_xyzw": 4, "extent_m": 3, "covariance_diagonal": 6}


@dataclass(frozen=True, slots=True)
class TestStream:
    """A short recording of one instance on which the model's log evidence is known.

    Whoever fetches the model can run it over the stream and compare: the test that a model travelled well.

    Attributes:
        time_s: [T] s.
        position: [T, 3] m; orientation_xyzw: [T, 4]; extent_m: [T, 3] m, as detected.
        covariance_diagonal: [T, 6] variances of position (m^2) and rotation vector (rad^2) of the detections.
        log_evidence_nats: log p(stream | model), as found by whoever published it.
    """

    __test__ = False  # pytest: a value of the registry, no test case

    time_s: Float[np.ndarray, " T"]
    position: Float[np.ndarray, "T 3"]
    orientation_xyzw: Float[np.ndarray, "T 4"]
    extent_m: Float[np.ndarray, "T 3"]
    covariance_diagonal: Float[np.ndarray, "T 6"]
    log_evidence_nats: float

    def __len__(self) -> int:
        """Return the number of frames T."""
        return len(self.time_s)


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def model_bytes(card: ModelCard, stream: TestStream | None = None) -> bytes:
    """Return the safetensors bytes of `card`'s numbers (and of `stream`); the same input gives the same bytes."""
    tensors = card_tensors(card)
    if stream is not None:
        for name in _STREAM_COLUMNS:
            tensors[f"test_stream.{name}"] = np.ascontiguousarray(getattr(stream, name), dtype=np.float32)
        tensors["test_stream.log_evidence_nats"] = np.array([stream.log_evidence_nats], dtype=np.float64)
    return save(tensors, metadata={"format": "np"})


def card_tensors(card: ModelCard) -> dict[str, Float[np.ndarray, "..."]]:
    """Return the numbers of `card` as named float64 arrays."""
    means = [np.log(p.mean) if p.transform == "log" else p.mean for p in card.parameters]
    tensors = {
        "prior_mean": np.array(means, dtype=np.float64),
        "prior_std": np.array([p.std for p in card.parameters], dtype=np.float64),
        "extent_m": np.array(card.shape.extent_m, dtype=np.float64),
        "extent_std_m": np.array(card.shape.extent_std_m, dtype=np.float64),
    }
    if card.descriptor.appearance is not None:
        tensors["appearance"] = np.array(card.descriptor.appearance, dtype=np.float64)
    if card.descriptor.appearance_std is not None:
        tensors["appearance_std"] = np.array(card.descriptor.appearance_std, dtype=np.float64)
    return tensors


def open_model(
    card: ModelCard, data: bytes, found_class: type[ObjectModel] | None = None
) -> tuple[ObjectModel, TestStream | None]:
    """Return the model that `card` and its safetensors `data` describe, and its test stream if it has one.

    Args:
        card: the card, with the sha256 that `data` must have.
        data: the bytes of ``model.safetensors``.
        found_class: the class of the card's family, where the caller has looked it up already.

    Raises:
        IntegrityError: `data` is not what the card's checksum says.
        CardError: `data` breaks the schema, or holds other numbers than the card.
        PluginError: no class of that family.
    """
    check_sum(card, data)
    where = f"model {card.model_id}@{card.version}"
    stream = _check_tensors(read_tensors(data, where), card, where)
    return (found_class or model_class(card.family, card.model_id))(card), stream


def check_sum(card: ModelCard | InteractionCard, data: bytes) -> None:
    """Check that `data` are the very bytes that `card` names.

    Raises:
        IntegrityError: they are not.
    """
    found = sha256_of(data)
    if found != card.sha256:
        raise IntegrityError(
            f"model {card.model_id}@{card.version}: its {len(data)} bytes have sha256 {found[:12]}..., the card says "
            f"{card.sha256[:12] or '(nothing)'}...; the file is truncated or was changed. Fetch it again, or restore "
            "it from a copy; 'worldsim registry verify' finds every such model."
        )


def check_model_bytes(card: ModelCard, data: bytes) -> None:
    """Check `data` as `open_model` does, without making a model of it.

    Raises:
        CardError: `data` breaks the schema, or holds other numbers than the card.
    """
    where = f"model {card.model_id}"
    _check_tensors(read_tensors(data, where), card, where)


def model_files(card: ModelCard, data: bytes) -> dict[str, bytes]:
    """Return the three files of the artefact by name."""
    config = json.dumps(json.loads(card_to_json(card)), indent=2, ensure_ascii=False) + "\n"
    return {"README.md": readme(card).encode(), "config.json": config.encode(), "model.safetensors": data}


def save_pretrained(model: ObjectModel, folder: str | Path, stream: TestStream | None = None) -> Path:
    """Write `model` into `folder` as the three files; each appears whole or not at all.

    Raises:
        CardError: the model's card breaks the schema.
        StorageError: the folder cannot be written.
    """
    data = model_bytes(model.card, stream)
    files = model_files(model.card.replace(sha256=sha256_of(data)), data)
    return write_files(folder, files)


def write_files(folder: str | Path, files: Mapping[str, bytes]) -> Path:
    """Write the files of an artefact into `folder`; each appears whole or not at all.

    Raises:
        StorageError: the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            part = folder / f".{name}.{uuid.uuid4().hex[:8]}.part"
            try:
                part.write_bytes(content)
                os.replace(part, folder / name)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write the model into {folder}: {error.strerror or error}.") from error
    return folder


def from_pretrained(folder: str | Path) -> ObjectModel:
    """Return the model in `folder`, checksum verified.

    Raises:
        StorageError: a file is missing or unreadable.
        IntegrityError: ``model.safetensors`` is not what ``config.json`` says.
        CardError: a file breaks its schema.
        PluginError: its family has no class in the plug-in table.
    """
    return open_model(*read_pretrained(folder))[0]


def read_pretrained(folder: str | Path) -> tuple[ModelCard, bytes]:
    """Return the card and the safetensors bytes in `folder`, not yet checked against each other.

    Raises:
        StorageError: a file is missing or unreadable.
        CardError: ``config.json`` breaks the schema.
    """
    config, data = read_files(folder)
    return card_from_json(config), data


def read_files(folder: str | Path) -> tuple[bytes, bytes]:
    """Return ``config.json`` and ``model.safetensors`` as they lie in `folder`.

    Raises:
        StorageError: a file is missing or unreadable.
    """
    folder = Path(folder)
    try:
        return (folder / "config.json").read_bytes(), (folder / "model.safetensors").read_bytes()
    except OSError as error:
        raise StorageError(
            f"no model in {folder}: {error.strerror or error} ({error.filename}); expected config.json and "
            "model.safetensors."
        ) from error


def readme(card: ModelCard) -> str:
    """Return the model card for people: a YAML header (JSON strings are YAML strings) and a table of the priors."""
    tags = ["worldsim", "object-model", card.family, card.kind, *card.tags]
    lines = [
        "---",
        "library_name: worldsim",
        f"license: {json.dumps(card.licence.lower())}",
        f"tags: {json.dumps(list(dict.fromkeys(tags)))}",
        f"model_name: {json.dumps(card.model_id)}",
        "---",
        "",
        f"# {card.model_id}, version {card.version}",
        "",
        f"A model of a {card.kind}, run by the class `{card.family}` of worldsim. {card.provenance}".rstrip(),
        "",
        f"- shape: {card.shape.kind}, " + " x ".join(f"{edge:.3g}" for edge in card.shape.extent_m) + " m",
        f"- evidence: {card.evidence.frames} frames, {card.evidence.log_evidence_gain_nats:.1f} nats over the generic "
        f"model ({card.evidence.source})",
        f"- parents: {', '.join(card.parents) or 'none'}",
        "",
        "| parameter | prior median | spread | unit |",
        "|---|---|---|---|",
    ]
    for p in card.parameters:
        spread = f"factor e^{p.std:.3g}" if p.transform == "log" else f"+- {p.std:.3g}"
        lines.append(f"| {p.name} | {p.mean:.4g} | {spread} | {p.unit} |")
    lines += [
        "",
        "```python",
        "from worldsim.registry import from_pretrained",
        "",
        'model = from_pretrained(".")',
        "```",
    ]
    return "\n".join(lines) + "\n"


def read_tensors(data: bytes, where: str) -> dict[str, np.ndarray]:
    """Return the tensors of a safetensors file by name; only the file's own form is checked.

    Raises:
        CardError: `data` is no safetensors file, or too long.
    """
    if len(data) > MAX_MODEL_BYTES:
        raise CardError(f"{where}: model.safetensors has {len(data)} bytes, expected at most {MAX_MODEL_BYTES}.")
    header = int.from_bytes(data[:8], "little")
    if len(data) < 8 or header > min(_MAX_HEADER_BYTES, len(data) - 8):
        raise CardError(
            f"{where}: not a safetensors file (its header claims {header} bytes of {len(data)}, at most "
            f"{_MAX_HEADER_BYTES} are taken). Only safetensors is read; a pickle never is."
        )
    try:
        return load(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CardError(f"{where}: model.safetensors cannot be read: {error}.") from error


def _check_tensors(tensors: Mapping[str, np.ndarray], card: ModelCard, where: str) -> TestStream | None:
    expected = card_tensors(card)
    stream = {k.removeprefix("test_stream."): v for k, v in tensors.items() if k.startswith("test_stream.")}
    found = {k for k in tensors if not k.startswith("test_stream.")}
    if found != set(expected):
        raise CardError(f"{where}: model.safetensors holds {sorted(found)}, its card asks for {sorted(expected)}.")
    check_numbers(tensors, expected, where)
    return _check_stream(stream, where) if stream else None


def check_numbers(tensors: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], where: str) -> None:
    """Check that the tensors hold the numbers that their card says.

    Raises:
        CardError: a tensor is of another type or shape, or holds other numbers.
    """
    for name, value in expected.items():
        got = tensors[name]
        if got.dtype != np.float64 or got.shape != value.shape:
            raise CardError(
                f"{where}: tensor {name!r} is {got.dtype} {list(got.shape)}, expected float64 {list(value.shape)}."
            )
    said, held = (np.concatenate([source[name].ravel() for name in expected]) for source in (expected, tensors))
    if not (np.abs(held - said) <= _AGREEMENT * (1.0 + np.abs(said))).all():  # also false for NaN
        name = next(n for n in expected if not np.allclose(tensors[n], expected[n], rtol=_AGREEMENT, atol=_AGREEMENT))
        raise CardError(
            f"{where}: tensor {name!r} holds {tensors[name][:4]}, its card says {expected[name][:4]}; they do not "
            "belong together."
        )


def _check_stream(stream: Mapping[str, np.ndarray], where: str) -> TestStream:
    wanted = {*_STREAM_COLUMNS, "log_evidence_nats"}
    if set(stream) != wanted:
        raise CardError(f"{where}: its test stream holds {sorted(stream)}, expected {sorted(wanted)}.")
    frames = stream["time_s"].shape[0] if stream["time_s"].ndim == 1 else 0
    for name, columns in _STREAM_COLUMNS.items():
        shape = (frames, columns) if columns else (frames,)
        got = stream[name]
        if got.dtype != np.float32 or got.shape != shape or not np.isfinite(got).all():
            raise CardError(
                f"{where}: tensor 'test_stream.{name}' is {got.dtype} {list(got.shape)}, expected finite float32 "
                f"{list(shape)}."
            )
    evidence = stream["log_evidence_nats"]
    if evidence.dtype != np.float64 or evidence.shape != (1,) or not np.isfinite(evidence).all():
        raise CardError(f"{where}: tensor 'test_stream.log_evidence_nats' is no single finite float64.")
    arrays = {name: stream[name] for name in _STREAM_COLUMNS}
    return TestStream(**arrays, log_evidence_nats=float(evidence[0]))
