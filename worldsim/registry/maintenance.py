"""Keeping a registry in health: what is in it, whether every byte is what it was, and clearing away by request."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from worldsim.errors import CardError, IntegrityError, PluginError, StorageError
from worldsim.registry.artefact import check_model_bytes, check_sum, sha256_of
from worldsim.registry.blobs import PackedBlobs, PackStore
from worldsim.registry.cards import card_from_json
from worldsim.registry.database import NEWEST, aliases, cards, descriptors, interactions, models, packs, pairs, tags
from worldsim.registry.descriptor import card_vector
from worldsim.registry.index import pack_vector
from worldsim.registry.interaction_artefact import check_interaction_bytes
from worldsim.registry.interaction_cards import interaction_from_json
from worldsim.registry.store import StoredRegistry
from worldsim.types.card import ModelCard

__all__ = ["Collected", "Finding", "Verification", "collect_garbage", "statistics", "verify"]

_BATCH = 500
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        what: ``card``, ``blob``, ``interaction``, ``descriptor``, ``pointer``, ``orphan``, ``pack`` or ``family``.
        where: the model (``id@version``), blob, file or family.
        problem: what is wrong with it.
        repaired: it was put right (descriptors and pointers follow from the cards; lost bytes do not).
        harmless: nothing is lost by it; it costs space, or a plug-in is missing here.
    """

    what: str
    where: str
    problem: str
    repaired: bool = False
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` looked at and found."""

    versions: int
    bytes: int
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Every model that was ever acknowledged is there, whole, and can be found."""
        return all(finding.repaired or finding.harmless for finding in self.findings)

    def report(self) -> dict[str, Any]:
        """Return the verification as JSON-able data."""
        findings = [asdict(finding) for finding in self.findings]
        return {"sound": self.sound, "versions": self.versions, "bytes": self.bytes, "findings": findings}


@dataclass(frozen=True, slots=True)
class Collected:
    """What `collect_garbage` cleared away."""

    versions: int
    blobs: int
    bytes: int


def verify(registry: StoredRegistry, *, repair: bool = False, progress: Progress | None = None) -> Verification:
    """Read every card and every byte of `registry`, hash them again, and look for what nothing refers to.

    Args:
        registry: what to verify.
        repair: rebuild descriptors and pointers that do not follow from the cards.
        progress: called with (versions done, versions in all).
    """
    findings: list[Finding] = []
    read = done = 0
    with registry.database.reading() as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(cards)).scalar_one()
        total += connection.execute(sa.select(sa.func.count()).select_from(interactions)).scalar_one()
        for rows in _all_cards(connection):
            known = _readable(rows, findings)
            read += _check_blobs(registry, connection, known, findings)
            done += len(rows)
            if progress is not None:
                progress(done, total)
        for row in connection.execute(sa.select(interactions).order_by(interactions.c.row)):
            read += _check_interaction(registry, connection, row, findings)
            done += 1
        findings += _orphans(registry, connection)
        findings += _not_runnable(registry, connection)
    findings += _check_derived(registry, repair)
    return Verification(done, read, tuple(findings))


def statistics(registry: StoredRegistry) -> dict[str, Any]:
    """Return what is in `registry`, as JSON-able data."""
    with registry.database.reading() as connection:
        columns = (cards.c.kind, cards.c.family, cards.c.licence)  # counted in one pass: the cards are gigabytes
        query = sa.select(*columns, sa.func.count()).join(models, NEWEST).group_by(*columns)
        counts: list[Counter[str]] = [Counter() for _ in columns]
        for *names, number in connection.execute(query):
            for counter, name in zip(counts, names, strict=True):
                counter[name] += number
        kinds, families, licences = (dict(sorted(counter.items())) for counter in counts)
        tagged = sa.select(tags.c.tag, sa.func.count()).group_by(tags.c.tag).order_by(tags.c.tag)
        count, size = registry.blobs.sizes(connection)
        return {
            "registry": registry.database.name,
            "models": connection.execute(sa.select(sa.func.count()).select_from(models)).scalar_one(),
            "versions": connection.execute(sa.select(sa.func.count()).select_from(cards)).scalar_one(),
            "interactions": connection.execute(
                sa.select(sa.func.count(sa.distinct(interactions.c.model_id)))
            ).scalar_one(),
            "blobs": count,
            "blob_bytes": size,
            "disk_bytes": _disk_bytes(registry),
            "kinds": kinds,
            "families": families,
            "licences": licences,
            "tags": dict(pairs(connection.execute(tagged))),
        }


def collect_garbage(registry: StoredRegistry, *, keep_versions: int | None = None) -> Collected:
    """Clear away what nothing refers to, and versions older than the newest `keep_versions` of each model.

    Nothing else in worldsim ever deletes a version. One that an alias names, or that is a parent of another, is kept;
    so is the one stored last, or the next would be stored in its row, and who follows the rows would miss it.
    Packs that hold dead bytes are written anew before the old ones are removed.
    """
    removed = 0
    with registry.database.writing() as connection:
        if keep_versions is not None:
            removed = _drop_old_versions(connection, max(keep_versions, 1))
        table = registry.blobs.table
        unused = _unused_blobs(connection, table)
        size = sum(length for _, length in unused)
        for start in range(0, len(unused), _BATCH):
            keys = [key for key, _ in unused[start : start + _BATCH]]
            connection.execute(table.delete().where(table.c.sha256.in_(keys)))
        stale = registry.blobs.rewrite_sparse(connection) if isinstance(registry.blobs, PackStore) else []
    if isinstance(registry.blobs, PackStore):
        for pack in stale:  # after the commit: until then the old packs are the ones that count
            registry.blobs.remove(pack)
    return Collected(removed, len(unused), size)


def _all_cards(connection: Connection) -> Iterator[Sequence[Row[Any]]]:
    last = 0
    while True:
        query = sa.select(cards).where(cards.c.row > last).order_by(cards.c.row).limit(_BATCH)
        rows = connection.execute(query).all()
        if not rows:
            return
        yield rows
        last = rows[-1].row


def _readable(rows: Sequence[Row[Any]], findings: list[Finding]) -> list[ModelCard]:
    known = []
    for row in rows:
        where = f"{row.model_id}@{row.version}"
        if sha256_of(row.body.encode()) != row.body_sha256:
            findings.append(Finding("card", where, "its text does not match its checksum"))
            continue
        try:
            card = card_from_json(row.body)
        except CardError as error:
            findings.append(Finding("card", where, str(error)))
            continue
        if (card.model_id, card.version, card.sha256) != (row.model_id, row.version, row.blob):
            findings.append(Finding("card", where, "its row and its text name different models"))
            continue
        known.append(card)
    return known


def _check_blobs(
    registry: StoredRegistry, connection: Connection, known: Sequence[ModelCard], findings: list[Finding]
) -> int:
    read = 0
    try:  # all of them in one look
        together = registry.blobs.get(connection, list(dict.fromkeys(card.sha256 for card in known)))
    except (IntegrityError, StorageError):
        together = None  # one by one, to say which
    for card in known:
        where = f"{card.model_id}@{card.version}"
        try:
            found = registry.blobs.get(connection, [card.sha256]) if together is None else together
            data = found.get(card.sha256)
            if data is None:
                findings.append(Finding("blob", where, "its parameters are gone"))
                continue
            read += len(data)
            check_sum(card, data)
            check_model_bytes(card, data)
        except (IntegrityError, CardError, StorageError) as error:
            findings.append(Finding("blob", where, str(error)))
    return read


def _not_runnable(registry: StoredRegistry, connection: Connection) -> Iterator[Finding]:
    """Yield the families of which this machine has no class: their models are whole, but cannot be used here."""
    query = sa.select(cards.c.family).distinct().order_by(cards.c.family)
    for family in connection.execute(query).scalars():
        try:
            registry.class_of_family(family)
        except PluginError as error:
            yield Finding("family", family, str(error), harmless=True)


def _check_interaction(registry: StoredRegistry, connection: Connection, row: Row[Any], findings: list[Finding]) -> int:
    """Return how many bytes of one interaction were read; what is wrong with it joins the findings."""
    where = f"{row.model_id}@{row.version}"
    if sha256_of(row.body.encode()) != row.body_sha256:
        findings.append(Finding("interaction", where, "its text does not match its checksum"))
        return 0
    try:
        card = interaction_from_json(row.body)
        if (card.model_id, card.version, card.sha256) != (row.model_id, row.version, row.blob):
            findings.append(Finding("interaction", where, "its row and its text name different interactions"))
            return 0
        data = registry.interactions.bytes_within(connection, card)
        check_sum(card, data)
        check_interaction_bytes(card, data)
    except (IntegrityError, CardError) as error:
        findings.append(Finding("interaction", where, str(error)))
        return 0
    return len(data)


def _orphans(registry: StoredRegistry, connection: Connection) -> list[Finding]:
    unused = _unused_blobs(connection, registry.blobs.table)
    findings = [Finding("orphan", key, "no card names this blob", harmless=True) for key, _ in unused]
    if not isinstance(registry.blobs, PackStore):
        return findings
    known = {pack: int(length) for pack, length in connection.execute(sa.select(packs.c.pack, packs.c.length))}
    for pack, length in sorted(registry.blobs.lengths().items()):
        beyond = length - known.get(pack, 0)
        if beyond > 0:
            problem = f"{beyond} bytes of a write that never ended; the next write uses their place"
            findings.append(Finding("pack", registry.blobs.name(pack), problem, harmless=True))
    return findings


def _unused_blobs(connection: Connection, table: sa.Table) -> list[tuple[str, int]]:
    length = table.c.length if "length" in table.c else sa.func.length(table.c.data)
    query = sa.select(table.c.sha256, length).where(~sa.exists().where(cards.c.blob == table.c.sha256))
    query = query.where(~sa.exists().where(interactions.c.blob == table.c.sha256))
    return [(key, int(size)) for key, size in connection.execute(query)]


def _check_derived(registry: StoredRegistry, repair: bool) -> list[Finding]:
    """Compare pointers and descriptors with the cards they follow from; put them right where asked."""
    findings: list[Finding] = []
    with registry.database.writing() if repair else registry.database.reading() as connection:
        newest: dict[str, tuple[int, int]] = {}
        for rows in _all_cards(connection):
            for row in rows:
                if row.version > newest.get(row.model_id, (0, 0))[1]:
                    newest[row.model_id] = (row.row, row.version)
        pointers = dict(pairs(connection.execute(sa.select(models.c.model_id, models.c.row))))
        for model_id, (number, version) in newest.items():
            if pointers.get(model_id) == number:
                continue
            findings.append(Finding("pointer", f"{model_id}@{version}", "the model does not point at it", repair))
            if repair:
                connection.execute(models.delete().where(models.c.model_id == model_id))
                connection.execute(models.insert(), {"model_id": model_id, "row": number})
        findings += _check_descriptors(connection, {number: m for m, (number, _) in newest.items()}, repair)
    if repair and findings:
        registry.index.reset()
        registry.filters.reset()
    return findings


def _check_descriptors(connection: Connection, newest: dict[int, str], repair: bool) -> list[Finding]:
    findings: list[Finding] = []
    seen: set[int] = set()
    query = sa.select(cards.c.row, cards.c.kind, cards.c.body, descriptors.c.vector)
    query = query.join(descriptors, descriptors.c.row == cards.c.row, isouter=True).order_by(cards.c.row)
    fixes: list[dict[str, Any]] = []
    for row, kind, body, vector in connection.execute(query):
        if row not in newest:
            continue
        seen.add(row)
        try:
            expected = pack_vector(*card_vector(card_from_json(body)))
        except CardError:
            continue  # told already, as a damaged card
        if vector != expected:
            problem = "it has no descriptor" if vector is None else "its descriptor is another card's"
            findings.append(Finding("descriptor", newest[row], problem, repair))
            fixes.append({"row": row, "replaces": None, "model_id": newest[row], "kind": kind, "vector": expected})
    strays = set(connection.execute(sa.select(descriptors.c.row)).scalars()) - seen
    findings += [Finding("descriptor", f"row {row}", "it belongs to no newest version", repair) for row in strays]
    if repair:
        for row in strays | {fix["row"] for fix in fixes}:
            connection.execute(descriptors.delete().where(descriptors.c.row == row))
        if fixes:
            connection.execute(descriptors.insert(), fixes)
    return findings


def _drop_old_versions(connection: Connection, keep: int) -> int:
    named = set(pairs(connection.execute(sa.select(aliases.c.model_id, aliases.c.version))))
    last = connection.execute(sa.select(sa.func.max(cards.c.row))).scalar()
    versions: dict[str, list[tuple[int, int]]] = {}
    for rows in _all_cards(connection):
        for row in rows:
            versions.setdefault(row.model_id, []).append((row.version, row.row))
            for parent in card_from_json(row.body).parents:
                model_id, _, version = parent.rpartition("@")
                named.add((model_id, int(version)))
    old = [
        row
        for model_id, found in versions.items()
        for version, row in sorted(found)[:-keep]
        if (model_id, version) not in named and row != last
    ]
    for start in range(0, len(old), _BATCH):
        part = old[start : start + _BATCH]
        connection.execute(tags.delete().where(tags.c.row.in_(part)))
        connection.execute(cards.delete().where(cards.c.row.in_(part)))
    return len(old)


def _disk_bytes(registry: StoredRegistry) -> int | None:
    """Return what the registry's files take, None where it has none of its own."""
    database = registry.database
    if database.in_memory or database.url.get_backend_name() != "sqlite":
        return None
    files = [Path(f"{database.url.database}{end}") for end in ("", "-wal", "-shm")]
    if isinstance(registry.blobs, PackedBlobs):
        files += registry.blobs.folder.glob("*")
    return sum(os.stat(file).st_size for file in files if file.exists())
