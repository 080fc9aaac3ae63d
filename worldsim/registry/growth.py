"""Synthetic registries of any size: models of all families, varied around the shipped ones, to measure on."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import sqlalchemy as sa
from jaxtyping import Float
from sqlalchemy.engine import Connection

from worldsim.registry.artefact import TestStream, card_tensors, model_bytes, sha256_of
from worldsim.registry.builtin import shipped_models
from worldsim.registry.database import meta
from worldsim.registry.store import StoredRegistry
from worldsim.types.card import Descriptor, Evidence, ModelCard, ParameterPrior, Shape
from worldsim.types.observation import APPEARANCE_DIM

__all__ = ["grow", "synthetic_models"]

BATCH = 1000
"""Models in one transaction; an interrupted growth goes on after the last whole one."""

STREAM_FRAMES = 280
"""Frames of each model's test stream: with it a model file is about 20 kB."""

_DONE = "synthetic"
_OF_LOOK = 5  # of a model's draws the first five are for its size, its edges and its pace
_OF_PARAMETERS = _OF_LOOK + APPEARANCE_DIM
_DRAWS = _OF_PARAMETERS + 64  # a card has at most so many parameters
Progress = Callable[[int, int], None]


def grow(registry: StoredRegistry, count: int, seed: int = 0, progress: Progress | None = None) -> int:
    """Fill `registry` until it holds the first `count` synthetic models of `seed`; return how many were added.

    The same `seed` gives the same models, however often it was interrupted in between, or by how many at once.
    """
    key = f"{_DONE}-{seed}"
    with registry.database.reading() as connection:
        done = _grown(connection, key)
    archetypes = [card for card, _ in shipped_models() if card.family != "generic"]
    added = 0
    while done < count:
        take = min(BATCH - done % BATCH, count - done)
        start = done % BATCH
        models = list(islice(synthetic_models(archetypes, done // BATCH, seed), start, start + take))
        with registry.database.writing() as connection:
            there = _grown(connection, key)
            if there == done:  # else another process was here meanwhile
                registry.store_within(connection, models)
                connection.execute(meta.delete().where(meta.c.key == key))
                connection.execute(meta.insert(), {"key": key, "value": str(done + take)})
                there, added = done + take, added + take
        done = there
        if progress is not None:
            progress(done, count)
    return added


def _grown(connection: Connection, key: str) -> int:
    return int(connection.execute(sa.select(meta.c.value).where(meta.c.key == key)).scalar() or 0)


def synthetic_models(archetypes: list[ModelCard], batch: int, seed: int) -> Iterator[tuple[ModelCard, bytes]]:
    """Yield the `BATCH` models of one batch, each with its safetensors bytes."""
    rng = np.random.default_rng([seed, batch])
    chosen = rng.integers(0, len(archetypes), size=BATCH).tolist()
    draws = rng.standard_normal((BATCH, _DRAWS)).tolist()
    evidence = (-rng.uniform(10.0, 500.0, size=BATCH)).tolist()
    ways = (0.05 * rng.standard_normal((BATCH, STREAM_FRAMES, 3))).astype(np.float32).cumsum(axis=1)
    stream = TestStream(
        (0.05 * np.arange(STREAM_FRAMES)).astype(np.float32),
        np.zeros((STREAM_FRAMES, 3), dtype=np.float32),
        np.tile(np.array([0.0, 0.0, 0.0, 1.0], dtype=np.float32), (STREAM_FRAMES, 1)),
        np.zeros((STREAM_FRAMES, 3), dtype=np.float32),
        np.full((STREAM_FRAMES, 6), 1e-4, dtype=np.float32),
        0.0,
    )
    packings: dict[tuple[int, bool, bool], _Packing] = {}
    for number in range(BATCH):
        card = _varied(archetypes[chosen[number]], batch * BATCH + number, seed, draws[number])
        look = card.descriptor
        alike = (len(card.parameters), look.appearance is None, look.appearance_std is None)
        packing = packings.get(alike)
        if packing is None:
            packing = packings[alike] = _Packing(card, stream)
        data = packing.pack(card, ways[number], evidence[number])
        yield card.replace(sha256=sha256_of(data)), data


class _Packing:
    """Makes the safetensors bytes of cards that differ in numbers alone: the header is made once.

    `tests/registry/test_large.py` compares them with those of `model_bytes`.
    """

    def __init__(self, card: ModelCard, stream: TestStream) -> None:
        whole = model_bytes(card, stream)
        start = 8 + int.from_bytes(whole[:8], "little")
        self.head = whole[:start]
        places = {name: entry["data_offsets"] for name, entry in json.loads(self.head[8:]).items() if name[0] != "_"}
        self.names = sorted(places, key=places.__getitem__)
        self.same = {name: whole[start + low : start + high] for name, (low, high) in places.items()}
        self.extent = np.empty((len(stream), 3), dtype=np.float32)

    def pack(self, card: ModelCard, way: Float[np.ndarray, "T 3"], log_evidence_nats: float) -> bytes:
        """Return the bytes of `card` with a test stream along `way`."""
        self.extent[:] = card.shape.extent_m
        own = {name: value.tobytes() for name, value in card_tensors(card).items()}
        own["test_stream.position"] = way.tobytes()
        own["test_stream.extent_m"] = self.extent.tobytes()
        own["test_stream.log_evidence_nats"] = np.array([log_evidence_nats]).tobytes()
        pieces = self.same | own
        return b"".join([self.head, *(pieces[name] for name in self.names)])


def _varied(source: ModelCard, number: int, seed: int, draws: list[float]) -> ModelCard:
    """Return a card like `source`: parameters, size, look and motion drawn anew around its own.

    Args:
        source: what it is varied from.
        number: of the model.
        seed: of the growth.
        draws: `_DRAWS` standard normal numbers.
    """
    parameters = tuple(
        ParameterPrior(p.name, _drawn(p, z), p.std, p.unit, p.transform)
        for p, z in zip(source.parameters, draws[_OF_PARAMETERS:])
    )
    x, y, z = (
        round(edge * math.exp(0.12 * draws[0] + 0.04 * own), 4)
        for edge, own in zip(source.shape.extent_m, draws[1:4], strict=True)
    )
    descriptor = source.descriptor
    look = descriptor.appearance
    if look is not None:
        spread = [0.08] * 6 + [0.04] * (APPEARANCE_DIM - 6)
        own_look = draws[_OF_LOOK:_OF_PARAMETERS]
        look = tuple(round(seen + std * own, 4) for seen, std, own in zip(look, spread, own_look, strict=True))
    pace = math.exp(0.25 * draws[4])
    motion = {
        name: round(value * pace, 4) if name.startswith(("speed", "acceleration", "turn")) else value
        for name, value in descriptor.motion.items()
    }
    return ModelCard(
        model_id=f"{source.family.replace('_', '-')}/synthetic-{seed}-{number:08d}",
        version=1,
        kind=source.kind,
        family=source.family,
        parameters=parameters,
        shape=Shape(source.shape.kind, (x, y, z), source.shape.extent_std_m),
        descriptor=Descriptor(look, descriptor.appearance_std, motion),
        provenance=f"Synthetic, varied from {source.model_id}.",
        tags=("synthetic",),
        evidence=Evidence(STREAM_FRAMES, 0.0, "synthetic"),
        parents=(f"{source.model_id}@{source.version}",),
    )


def _drawn(prior: ParameterPrior, z: float) -> float:
    if prior.transform == "log":
        return float(f"{prior.mean * math.exp(0.2 * z):.5g}")
    return float(f"{prior.mean + prior.std * z:.5g}")
