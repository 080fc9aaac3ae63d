"""Carrying models from one registry to another, by a folder or a tar file of artefacts.

::

    registry.json                          which format, how many, the aliases
    models/<family>/<name>/<version>/      the three files of the artefact (see `worldsim.registry.artefact`)
    interactions/<family>/<name>/<version>/  the same of each kind of interaction
    SHA256SUMS                             of every other file; ``sha256sum -c SHA256SUMS`` checks a folder

Every byte is checked before anything is stored, and everything is stored in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from worldsim.errors import ConfigurationError, IntegrityError, ModelNotFoundError
from worldsim.registry.archive import INDEX, INTERACTIONS, MODEL_FILES, SUMS, files_in, write_archive
from worldsim.registry.artefact import check_model_bytes, check_sum, model_files, open_model, sha256_of
from worldsim.registry.card_reads import checked_card
from worldsim.registry.cards import card_from_json, dump_card
from worldsim.registry.database import aliases, cards
from worldsim.registry.portable_interactions import (
    ArchivedInteractions,
    exported_files,
    known_ids,
    store_archived,
)
from worldsim.registry.store import StoredRegistry, check_alias
from worldsim.types.card import ModelCard

__all__ = ["Exported", "Imported", "export_models", "import_models"]

FORMAT = "worldsim-registry-export/1"
_BATCH = 500
_WAITING = 1000  # models of an archive whose files are not all read yet; an export keeps them together
Progress = Callable[[int, int], None]
_Model = tuple[ModelCard, bytes]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Exported:
    """What `export_models` wrote."""

    path: Path
    models: int
    versions: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What `import_models` did.

    Attributes:
        stored: versions stored.
        skipped: versions that were there already, the same to the last byte.
        renumbered: ``id@version`` in the archive -> ``id@version`` here, of those whose number was taken.
    """

    stored: int
    skipped: int
    renumbered: dict[str, str]


def export_models(
    registry: StoredRegistry, path: Path, only: Collection[str] | None = None, progress: Progress | None = None
) -> Exported:
    """Write every version of every model of `registry` to `path`: a tar file by its ending (``.tar``, ``.tar.gz``),
    else a folder. It is one consistent state, and the same state gives the same bytes.

    Args:
        registry: what to export.
        path: where to; nothing may be there.
        only: ids of the models and interactions wanted, all where None.
        progress: called with (versions done, versions in all).

    Raises:
        ModelNotFoundError: a wanted model is not there.
        IntegrityError: a model's bytes are damaged.
        ConfigurationError: `path` is there already.
        StorageError: the disk refused; nothing is left of the export.
    """  # noqa: D205 - the first sentence is longer than a line
    sums: list[str] = []
    size = done = 0
    with registry.database.reading() as connection, write_archive(path) as write_file:

        def write(name: str, data: bytes) -> None:
            write_file(name, data)
            sums.append(f"{sha256_of(data)}  {name}\n")

        wanted = _wanted(connection, only)
        total = sum(wanted.values())
        named = _aliases(connection, wanted)
        index = {"format": FORMAT, "models": len(wanted), "versions": total, "aliases": named}
        write(INDEX, (json.dumps(index, indent=1, sort_keys=True) + "\n").encode())
        for ids in _batches(sorted(wanted), _BATCH):
            for card, data in _versions(registry, connection, ids):
                for name, content in model_files(card, data).items():
                    write(f"models/{card.model_id}/{card.version}/{name}", content)
                size += len(data)
                done += 1
            if progress is not None:
                progress(done, total)
        for name, content in exported_files(registry.interactions, connection, only):
            write(name, content)
        write_file(SUMS, "".join(sums).encode())
    return Exported(path, len(wanted), total, size)


def import_models(
    registry: StoredRegistry, path: Path, renumber: bool = False, progress: Progress | None = None
) -> Imported:
    """Store the models that `export_models` wrote to `path`, all of them or none.

    A version keeps its number. One that is here already, the same to the last byte, is skipped; its bytes are stored
    anew where they are damaged. An alias that is used here keeps its meaning.

    Args:
        registry: where to.
        path: the folder or tar file.
        renumber: store a version whose number is taken by another as the next free one.
        progress: called with (versions done, versions in all).

    Raises:
        IntegrityError: a file is damaged, missing, or none of an export's.
        CardError, PluginError: a model breaks its schema, or no plug-in here runs it.
        ConfigurationError: a version's number is taken by another, and `renumber` was not asked for.
        StorageError: the disk or the database refused.
    """
    contents = _check(registry, path)
    stored = skipped = 0
    renumbered: dict[str, str] = {}
    with registry.database.writing() as connection:
        for batch in _batches(_models(_same_files(path, contents.sums)), _BATCH):
            fresh, taken = _sorted_out(connection, batch)
            if taken and not renumber:
                raise ConfigurationError(
                    f"{path} holds {_named(taken[0][0])}, and another model has that name and version here. Nothing "
                    "was imported; import with --renumber to store such versions as the next ones."
                )
            registry.blobs.put(
                connection, {card.sha256: data for card, data in batch}
            )  # what is damaged here is mended
            registry.store_within(connection, fresh, keep_versions=True)
            names = registry.store_within(connection, taken)
            renumbered.update((_named(card), name) for (card, _), name in zip(taken, names, strict=True))
            stored += len(fresh) + len(taken)
            skipped += len(batch) - len(fresh) - len(taken)
            if progress is not None:
                progress(stored + skipped, contents.versions)
        _take_aliases(connection, contents.aliases, renumbered)
        kinds = contents.kinds.checked(registry.interactions)
        new, old, moved = store_archived(registry.interactions, connection, kinds, renumber=renumber)
        stored, skipped = stored + new, skipped + old
        renumbered |= {f"interaction {was}": now for was, now in moved.items()}
    return Imported(stored, skipped, renumbered)


@dataclass(slots=True)
class _Contents:
    """What an archive was found to hold, sound: digests by file name, versions of models, aliases, interactions."""

    sums: dict[str, str] = field(default_factory=dict)
    versions: int = 0
    aliases: dict[str, dict[str, int]] = field(default_factory=dict)
    kinds: ArchivedInteractions = field(default_factory=ArchivedInteractions)


def _check(registry: StoredRegistry, path: Path) -> _Contents:
    """Read everything once, and check every byte of it."""
    contents = _Contents()
    lists: dict[str, bytes] = {}

    def noted() -> Iterator[tuple[str, bytes]]:
        for name, data in files_in(path):
            if name in contents.sums or (name == SUMS and SUMS in lists):
                raise IntegrityError(f"{path} holds {name} twice. Nothing was imported.")
            if name != SUMS:
                contents.sums[name] = sha256_of(data)
            if name in (INDEX, SUMS):
                lists[name] = data
            elif not contents.kinds.take(name, data):
                yield name, data

    for card, data in _models(noted()):
        open_model(card, data, registry.class_of(card))
        contents.versions += 1
    if set(lists) != {INDEX, SUMS}:
        raise IntegrityError(f"{path} is no export of a registry, or is truncated: {INDEX} or {SUMS} is missing.")
    if _read_sums(lists[SUMS], path) != contents.sums:
        raise IntegrityError(f"{path}: its files are not those of its {SUMS}; it is damaged. Nothing was imported.")
    contents.aliases = _read_index(lists[INDEX], path, contents.versions)
    return contents


def _same_files(path: Path, sums: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield the models' files again, which must be those that were checked."""
    for name, data in files_in(path):
        if name not in (INDEX, SUMS):
            if sums.get(name) != sha256_of(data):
                raise IntegrityError(f"{path}: {name} changed while it was read. Nothing was imported.")
            if not name.startswith(f"{INTERACTIONS}/"):
                yield name, data


def _models(files: Iterable[tuple[str, bytes]]) -> Iterator[_Model]:
    """Yield card and bytes of each model, as soon as its files are all read."""
    waiting: dict[str, dict[str, bytes]] = {}
    for name, data in files:
        folder, _, file = name.rpartition("/")
        parts = waiting.setdefault(folder, {})
        parts[file] = data
        if len(parts) < len(MODEL_FILES):
            if len(waiting) > _WAITING:
                raise IntegrityError(f"the files of {folder} and of {_WAITING} other models do not lie together.")
            continue
        del waiting[folder]
        card = card_from_json(parts["config.json"])
        if folder != f"models/{card.model_id}/{card.version}":
            raise IntegrityError(f"{folder} holds {_named(card)}. Nothing was imported.")
        yield card, parts["model.safetensors"]
    if waiting:
        folder, parts = next(iter(waiting.items()))
        raise IntegrityError(f"{folder} holds {sorted(parts)} alone, expected {sorted(MODEL_FILES)}.")


def _sorted_out(connection: Connection, batch: Sequence[_Model]) -> tuple[list[_Model], list[_Model]]:
    """Return the models that are not here yet, and those whose version is taken by another."""
    ids = sorted({card.model_id for card, _ in batch})
    columns = (cards.c.model_id, cards.c.version, cards.c.body_sha256)
    rows = connection.execute(sa.select(*columns).where(cards.c.model_id.in_(ids)))
    here = {(model_id, version): digest for model_id, version, digest in rows}
    fresh, taken = [], []
    for card, data in batch:
        digest = here.get((card.model_id, card.version))
        if digest is None:
            fresh.append((card, data))
        elif digest != sha256_of(dump_card(card).encode()):
            taken.append((card, data))
    return fresh, taken


def _take_aliases(connection: Connection, named: dict[str, dict[str, int]], renumbered: dict[str, str]) -> None:
    for model_id, versions in named.items():
        rows = connection.execute(sa.select(aliases.c.alias).where(aliases.c.model_id == model_id))
        here = set(rows.scalars())
        there = set(connection.execute(sa.select(cards.c.version).where(cards.c.model_id == model_id)).scalars())
        for alias, version in versions.items():
            name = renumbered.get(f"{model_id}@{version}", f"{model_id}@{version}")
            meant = int(name.rpartition("@")[2])
            if meant not in there:
                raise IntegrityError(f"alias {alias[:80]!r} names {name[:120]!r}, which is not there.")
            if check_alias(alias) not in here:
                connection.execute(aliases.insert(), {"model_id": model_id, "alias": alias, "version": meant})


def _wanted(connection: Connection, only: Collection[str] | None) -> dict[str, int]:
    """Return how many versions each wanted model has."""
    query = sa.select(cards.c.model_id, sa.func.count()).group_by(cards.c.model_id)
    known = {model_id: int(count) for model_id, count in connection.execute(query)}
    if only is None:
        return known
    missing = sorted(set(only) - set(known) - known_ids(connection))
    if missing:
        raise ModelNotFoundError(f"no model {missing[0]!r} to export; 'worldsim registry search' finds models.")
    return {model_id: known[model_id] for model_id in only if model_id in known}


def _aliases(connection: Connection, wanted: Collection[str]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for model_id, alias, version in connection.execute(
        sa.select(aliases.c.model_id, aliases.c.alias, aliases.c.version)
    ):
        if model_id in wanted:
            found.setdefault(model_id, {})[alias] = int(version)
    return found


def _versions(registry: StoredRegistry, connection: Connection, ids: Collection[str]) -> Iterator[_Model]:
    query = sa.select(cards.c.body, cards.c.body_sha256).where(cards.c.model_id.in_(ids))
    for body, body_sha256 in connection.execute(query.order_by(cards.c.model_id, cards.c.version)).all():
        card = checked_card(body, body_sha256, registry.database.name)
        data = registry.blobs.get(connection, [card.sha256]).get(card.sha256, b"")
        check_sum(card, data)  # what is damaged here must not travel
        check_model_bytes(card, data)
        yield card, data


def _read_sums(data: bytes, path: Path) -> dict[str, str]:
    try:
        pairs = (line.split("  ", 1) for line in data.decode().splitlines())
        return {name: digest for digest, name in pairs}
    except ValueError as error:
        raise IntegrityError(f"{path}: {SUMS} is damaged: {error}.") from error


def _read_index(data: bytes, path: Path, versions: int) -> dict[str, dict[str, int]]:
    try:
        index: dict[str, Any] = json.loads(data)
        found, counted = index["format"], int(index["versions"])
        named = {str(m): {str(a): int(v) for a, v in of.items()} for m, of in index["aliases"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"{path}: {INDEX} is damaged: {type(error).__name__} {error}.") from error
    if found != FORMAT or counted != versions:
        raise IntegrityError(
            f"{path}: {INDEX} tells of {counted} versions in format {str(found)[:80]!r}; there are {versions}, and "
            f"this worldsim reads {FORMAT!r}."
        )
    return named


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _named(card: ModelCard) -> str:
    return f"{card.model_id}@{card.version}"
