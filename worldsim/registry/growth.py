"""Synthetic registries of any size: models of all families, varied around the shipped ones, to measure on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import sqlalchemy as sa

from worldsim.registry.artefact import TestStream, model_bytes, sha256_of
from worldsim.registry.builtin import shipped_models
from worldsim.registry.database import meta
from worldsim.registry.store import StoredRegistry
from worldsim.types.card import Descriptor, Evidence, ModelCard, ParameterPrior, Shape

__all__ = ["grow", "synthetic_models"]

BATCH = 1000
"""Models in one transaction; an interrupted growth goes on after the last whole one."""

STREAM_FRAMES = 280
"""Frames of each model's test stream: with it a model file is about 20 kB."""

_DONE = "synthetic"
Progress = Callable[[int, int], None]


def grow(registry: StoredRegistry, count: int, seed: int = 0, progress: Progress | None = None) -> int:
    """Fill `registry` until it holds the first `count` synthetic models of `seed`; return how many were added.

    The same `seed` gives the same models, however often it was interrupted in between.
    """
    key = f"{_DONE}-{seed}"
    with registry.database.reading() as connection:
        done = int(connection.execute(sa.select(meta.c.value).where(meta.c.key == key)).scalar() or 0)
    archetypes = [card for card, _ in shipped_models() if card.family != "generic"]
    before = done
    while done < count:
        take = min(BATCH - done % BATCH, count - done)
        start = done % BATCH
        models = list(islice(synthetic_models(archetypes, done // BATCH, seed), start, start + take))
        with registry.database.writing() as connection:
            registry.store_within(connection, models)
            connection.execute(meta.delete().where(meta.c.key == key))
            connection.execute(meta.insert(), {"key": key, "value": str(done + take)})
        done += take
        if progress is not None:
            progress(done, count)
    return done - before


def synthetic_models(archetypes: list[ModelCard], batch: int, seed: int) -> Iterator[tuple[ModelCard, bytes]]:
    """Yield the `BATCH` models of one batch, each with its safetensors bytes."""
    rng = np.random.default_rng([seed, batch])
    chosen = rng.integers(0, len(archetypes), size=BATCH)
    steps = (0.05 * rng.standard_normal((BATCH, STREAM_FRAMES, 3))).astype(np.float32)
    times = (0.05 * np.arange(STREAM_FRAMES)).astype(np.float32)
    upright = np.tile(np.array([0.0, 0.0, 0.0, 1.0], dtype=np.float32), (STREAM_FRAMES, 1))
    noise = np.full((STREAM_FRAMES, 6), 1e-4, dtype=np.float32)
    for number in range(BATCH):
        card = _varied(archetypes[int(chosen[number])], batch * BATCH + number, seed, rng)
        extent = np.tile(np.array(card.shape.extent_m, dtype=np.float32), (STREAM_FRAMES, 1))
        stream = TestStream(
            times, steps[number].cumsum(axis=0), upright, extent, noise, float(-rng.uniform(10.0, 500.0))
        )
        data = model_bytes(card, stream)
        yield card.replace(sha256=sha256_of(data)), data


def _varied(source: ModelCard, number: int, seed: int, rng: np.random.Generator) -> ModelCard:
    """Return a card like `source`: parameters, size, look and motion drawn anew around its own."""
    parameters = tuple(
        ParameterPrior(p.name, _drawn(p, float(z)), p.std, p.unit, p.transform)
        for p, z in zip(source.parameters, rng.standard_normal(len(source.parameters)))
    )
    factor = np.exp(0.12 * rng.standard_normal() + 0.04 * rng.standard_normal(3))
    x, y, z = (float(v) for v in np.round(np.asarray(source.shape.extent_m) * factor, 4))
    sx, sy, sz = source.shape.extent_std_m
    descriptor = source.descriptor
    look = descriptor.appearance
    if look is not None:
        seen = np.asarray(look) + np.where(np.arange(len(look)) < 6, 0.08, 0.04) * rng.standard_normal(len(look))
        look = tuple(float(v) for v in np.round(seen, 4))
    pace = float(np.exp(0.25 * rng.standard_normal()))
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
        shape=Shape(source.shape.kind, (x, y, z), (sx, sy, sz)),
        descriptor=Descriptor(look, descriptor.appearance_std, motion),
        provenance=f"Synthetic, varied from {source.model_id}.",
        tags=("synthetic",),
        evidence=Evidence(STREAM_FRAMES, 0.0, "synthetic"),
        parents=(f"{source.model_id}@{source.version}",),
    )


def _drawn(prior: ParameterPrior, z: float) -> float:
    if prior.transform == "log":
        return float(f"{prior.mean * np.exp(0.2 * z):.5g}")
    return float(f"{prior.mean + prior.std * z:.5g}")
