"""Model bytes at a URL: the same promises as in files beside the database."""

from __future__ import annotations

import sqlite3
import uuid
from itertools import islice
from pathlib import Path

import fsspec
import numpy as np
import pytest

from tests.registry.test_store import stream
from worldsim.errors import ConfigurationError, IntegrityError, StorageError
from worldsim.models.cat import Cat
from worldsim.registry import open_registry
from worldsim.registry.builtin import shipped_models
from worldsim.registry.maintenance import collect_garbage, verify
from worldsim.registry.remote_blobs import RemoteBlobs


@pytest.fixture(params=["file", "memory"])
def place(request, tmp_path) -> str:
    """A URL to keep blobs at."""
    return f"file://{tmp_path / 'far' / 'away'}" if request.param == "file" else f"memory://{uuid.uuid4().hex}"


def test_models_are_kept_there_and_the_place_is_remembered(address, place, cat_card):
    with open_registry(f"{address}?blobs={place}") as registry:
        registry.store_checked(list(islice(shipped_models(), 12)))
        registry.publish(Cat(cat_card))
        assert verify(registry).findings == ()
        assert sorted(registry.blobs.lengths()) == [1, 2]
    with open_registry(address) as registry:
        assert registry.fetch("cat/test-cat").card.kind == "cat"
        registry.publish(Cat(cat_card.replace(provenance="second")))
        assert verify(registry).findings == ()
    assert not Path(f"{address.removeprefix('sqlite:///')}.blobs").exists()


def test_the_place_cannot_be_changed_afterwards(address, place, tmp_path, cat_card):
    with open_registry(address) as registry:
        registry.publish(Cat(cat_card))
    with pytest.raises(ConfigurationError, match=r"beside its database.*export it and import it"):
        open_registry(f"{address}?blobs={place}")
    other = f"sqlite:///{tmp_path / 'other.db'}"
    open_registry(f"{other}?blobs={place}").close()
    with pytest.raises(ConfigurationError, match="keeps its models' bytes at"):
        open_registry(f"{other}?blobs={place}-elsewhere")


def test_a_place_that_nothing_speaks_is_refused(address):
    with pytest.raises(ConfigurationError, match="no-such-protocol"):
        open_registry(f"{address}?blobs=no-such-protocol://x")


def test_damage_there_is_an_integrity_error(address, tmp_path, cat_card):
    folder = tmp_path / "far"
    with open_registry(f"{address}?blobs=file://{folder}") as registry:
        registry.publish(Cat(cat_card))
        pack = folder / "pack-00000001.bin"
        whole = pack.read_bytes()
        pack.write_bytes(whole[:-3])
        with pytest.raises(IntegrityError, match="is truncated"):
            registry.fetch("cat/test-cat")
        pack.write_bytes(bytes(len(whole)))
        with pytest.raises(IntegrityError, match="truncated or was changed"):
            registry.fetch("cat/test-cat")
        pack.unlink()
        with pytest.raises(IntegrityError, match="is missing"):
            registry.fetch("cat/test-cat")
        assert not verify(registry).sound


def test_a_pack_that_no_transaction_names_is_written_over(address, tmp_path, cat_card):
    folder = tmp_path / "far"
    with open_registry(f"{address}?blobs=file://{folder}") as registry:
        registry.publish(Cat(cat_card))
        (folder / "pack-00000002.bin").write_bytes(b"half a model of a writer that was killed" * 500)
        assert [(f.what, f.harmless) for f in verify(registry).findings] == [("pack", True)]
        registry.publish(Cat(cat_card), stream())  # other bytes, so a pack of its own
        assert verify(registry).findings == ()


def test_a_store_that_refuses_is_a_storage_error_and_nothing_is_published(address, tmp_path, cat_card):
    folder = tmp_path / "far"
    with open_registry(f"{address}?blobs=file://{folder}") as registry:
        (folder / "pack-00000001.bin").mkdir()  # nothing can be written under that name
        with pytest.raises(StorageError, match=r"cannot store.*pack-00000001.*What was stored before is intact"):
            registry.publish(Cat(cat_card))
        assert len(registry) == 0


def test_a_place_that_cannot_be_taken_is_told_at_once(address, tmp_path):
    (tmp_path / "file").write_bytes(b"no folder can be made here")
    with pytest.raises(StorageError, match="cannot"):
        open_registry(f"{address}?blobs=file://{tmp_path / 'file' / 'below'}")


def without_owner(place: str) -> None:
    """Make a place as it was before places had owners."""
    files, root = fsspec.url_to_fs(place)
    files.rm_file(f"{root}/owner")


@pytest.mark.parametrize("old", [False, True])
def test_a_new_registry_takes_no_place_of_another(address, place, tmp_path, cat_card, old):
    with open_registry(f"{address}?blobs={place}") as first:
        first.publish(Cat(cat_card))
    if old:
        without_owner(place)
    with pytest.raises(ConfigurationError, match=r"belongs to another registry.*Name a place of its own"):
        open_registry(f"sqlite:///{tmp_path / 'second.db'}?blobs={place}")
    with open_registry(f"{address}?blobs={place}") as first:
        assert first.fetch("cat/test-cat").card.kind == "cat"
        assert verify(first).findings == ()


def test_a_place_from_before_there_were_owners_becomes_the_registrys_that_knows_its_packs(
    address, place, tmp_path, cat_card
):
    with open_registry(f"{address}?blobs={place}") as first:
        first.publish(Cat(cat_card))
    without_owner(place)
    with open_registry(address) as first:
        assert first.fetch("cat/test-cat").card.kind == "cat"
        first.publish(Cat(cat_card.replace(provenance="second")), stream())
        assert verify(first).findings == ()
    with pytest.raises(ConfigurationError, match=f"belongs to another registry .{first.database.registry_id}"):
        open_registry(f"sqlite:///{tmp_path / 'second.db'}?blobs={place}")


def test_who_has_lost_its_place_to_another_writes_and_deletes_nothing_there(address, place, tmp_path, cat_card):
    open_registry(f"{address}?blobs={place}").close()  # nothing published, and then as before there were owners
    without_owner(place)
    with open_registry(f"sqlite:///{tmp_path / 'second.db'}?blobs={place}") as second:
        second.publish(Cat(cat_card))
        with open_registry(address) as first:
            for write in (lambda: first.publish(Cat(cat_card), stream()), lambda: collect_garbage(first)):
                with pytest.raises(ConfigurationError, match="belongs to another registry"):
                    write()
        assert verify(second).findings == ()


def test_garbage_there_is_collected(address, place, cat_card):
    with open_registry(f"{address}?blobs={place}") as registry:
        for number in range(4):
            registry.publish(Cat(cat_card.replace(parameters=tuple(
                p.__class__(p.name, p.mean * (1 + number), p.std, p.unit, p.transform) for p in cat_card.parameters
            ))))  # fmt: skip
        collected = collect_garbage(registry, keep_versions=1)
        assert (collected.versions, collected.blobs) == (3, 3)
        assert len(registry.blobs.lengths()) == 1
        assert registry.fetch("cat/test-cat").card.version == 4
        assert verify(registry).findings == ()
        registry.publish(Cat(cat_card))
        assert verify(registry).findings == ()


def test_the_url_is_kept_in_the_database_without_code(address, place, tmp_path):
    open_registry(f"{address}?blobs={place}").close()
    with sqlite3.connect(tmp_path / "registry.db") as raw:
        assert raw.execute("SELECT value FROM meta WHERE key = 'blobs'").fetchone() == (place,)
    raw.close()


def test_parts_of_a_pack_are_read(place):
    blobs = RemoteBlobs(place)
    data = np.random.default_rng(0).bytes(10_000)
    blobs.write(1, 0, data)
    assert blobs.read(1, 17, 100) == data[17:117]
    assert blobs.lengths() == {1: 10_000}
    blobs.remove(1)
    blobs.remove(1)
    assert blobs.lengths() == {}
