from __future__ import annotations

import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from worldsim.contracts import Registry
from worldsim.errors import (
    CardError,
    ConfigurationError,
    IntegrityError,
    ModelNotFoundError,
    PluginError,
    RegistryError,
    StorageError,
    UnknownNameError,
)
from worldsim.models.cat import Cat
from worldsim.registry import StoredRegistry, TestStream, open_existing, open_registry
from worldsim.registry.cards import card_from_json
from worldsim.registry.database import cards, descriptors, models
from worldsim.registry.maintenance import verify
from worldsim.registry.portable import export_models, import_models
from worldsim.types import Query


def stream(frames: int = 200, seed: int = 0) -> TestStream:
    rng = np.random.default_rng(seed)
    return TestStream(
        np.arange(frames) * 0.05,
        rng.normal(size=(frames, 3)),
        np.tile([0.0, 0.0, 0.0, 1.0], (frames, 1)),
        np.ones((frames, 3)),
        np.full((frames, 6), 1e-4),
        -12.5,
    )


def pack(registry: StoredRegistry) -> Path:
    return Path(f"{registry.database.url.database}.blobs") / "pack-00000001.bin"


def test_what_was_published_is_fetched_equal(any_registry, cat_card):
    assert any_registry.publish(Cat(cat_card)) == "cat/test-cat@1"
    card = any_registry.fetch("cat/test-cat").card
    assert card.replace(version=0, sha256="") == cat_card
    assert len(card.sha256) == 64


def test_a_test_stream_travels_with_its_model(any_registry, cat_card):
    sent = stream()
    any_registry.publish(Cat(cat_card), sent)
    _, found = any_registry.fetch_with_stream("cat/test-cat")
    assert found is not None
    assert found.log_evidence_nats == sent.log_evidence_nats
    np.testing.assert_array_equal(found.position, sent.position.astype(np.float32))


def test_versions_count_up_and_nothing_is_overwritten(any_registry, cat_card):
    any_registry.publish(Cat(cat_card))
    any_registry.publish(Cat(cat_card.replace(provenance="second")))
    assert any_registry.versions("cat/test-cat") == [1, 2]
    assert any_registry.fetch("cat/test-cat", 1).card.provenance == "Written for a test."
    assert any_registry.fetch("cat/test-cat").card.provenance == "second"
    assert len(any_registry) == 1
    assert [c.version for c in any_registry.cards()] == [2]
    assert [c.version for c in any_registry.search(Query(extent_m=(0.45, 0.16, 0.3))).cards] == [2]


def test_a_publish_that_is_repeated_stores_one_version(any_registry, cat_card):
    first, second = Cat(cat_card), Cat(cat_card.replace(provenance="second"))
    assert [any_registry.publish(first), any_registry.publish(first)] == ["cat/test-cat@1"] * 2
    assert any_registry.publish(any_registry.fetch("cat/test-cat")) == "cat/test-cat@1"
    assert any_registry.publish(first, stream()) == "cat/test-cat@2"  # other bytes
    assert any_registry.publish(second) == "cat/test-cat@3"
    assert any_registry.publish(first) == "cat/test-cat@4"  # not the newest any more
    assert any_registry.versions("cat/test-cat") == [1, 2, 3, 4]
    assert verify(any_registry).findings == ()


def test_a_writer_gives_up_after_its_wait_and_has_stored_nothing(any_address, cat_card):
    with open_registry(any_address) as one, open_registry(any_address) as other:
        one.database.lock_wait_s = 0.1
        with (
            other.database.writing(),
            pytest.raises(StorageError, match=r"Another process held it for more than 0\.1 s"),
        ):
            one.publish(Cat(cat_card))
        assert one.publish(Cat(cat_card)) == "cat/test-cat@1"


def test_a_published_model_is_there_after_reopening(any_address, cat_card):
    with open_registry(any_address) as registry:
        registry.publish(Cat(cat_card))
    with open_registry(any_address) as registry:
        assert registry.fetch("cat/test-cat").card.kind == "cat"
        assert registry.search(Query(extent_m=(0.45, 0.16, 0.3))).cards[0].model_id == "cat/test-cat"


def test_builtin_forgets_what_was_published_when_it_is_closed(cat_card):
    with open_registry("builtin") as first:
        shipped = len(first)
        first.publish(Cat(cat_card))
        assert len(first) == shipped + 1
    with open_registry() as second:
        assert len(second) == shipped


def test_a_search_with_its_models_is_the_search_and_the_fetches(any_registry, cat_card):
    for number in range(3):
        any_registry.publish(Cat(cat_card.replace(model_id=f"cat/c{number}")), stream() if number else None)
    query = Query(extent_m=(0.45, 0.16, 0.3))
    found, models_found = any_registry.search_models(query)
    assert found == any_registry.search(query)
    assert [m.card for m in models_found] == [any_registry.fetch(c.model_id).card for c in found.cards]
    bundle = any_registry.bundle(query)
    assert [card_from_json(text) for text in bundle.texts] == list(found.cards)
    assert bundle.distances == found.distances
    assert bundle.blobs == {c.sha256: any_registry.fetch_bytes(c.model_id)[1] for c in found.cards}


def test_a_card_whose_text_was_changed_is_passed_on_to_nobody(any_registry, cat_card):
    any_registry.publish(Cat(cat_card))
    with any_registry.database.writing() as connection:
        connection.execute(cards.update().values(body=sa.func.replace(cards.c.body, "0.45", "0.46")))
    for read in (any_registry.bundle, any_registry.search, any_registry.search_models):
        with pytest.raises(IntegrityError, match="is damaged"):
            read(Query(extent_m=(0.45, 0.16, 0.3)))


def test_an_unknown_model_or_version_is_named(any_registry, cat_card):
    any_registry.publish(Cat(cat_card))
    with pytest.raises(ModelNotFoundError, match="no model 'cat/nobody'"):
        any_registry.fetch("cat/nobody")
    with pytest.raises(ModelNotFoundError, match=r"'cat/test-cat@7'.*versions \[1\]"):
        any_registry.fetch("cat/test-cat", 7)


@pytest.mark.parametrize(
    "url",
    ["ftp://example", "sqlte:///x.db", "nonsense", "mysql://host/db", "sqlite+aiosqlite:///r.db", "sqlite+nosuch:///"],
)
def test_an_unknown_address_lists_the_known_ones(url):
    with pytest.raises(UnknownNameError, match=r"registry address.*Known: builtin"):
        open_registry(url)


@pytest.mark.parametrize("url", ["http://localhost:notaport", "http://[::1", "http://localhost:99999", "http://a\x01b"])
def test_a_url_that_is_none_is_told_as_such(url):
    with pytest.raises(ConfigurationError, match=r"registry address .*expected http://host:port"):
        open_registry(url)


def test_a_registry_in_a_missing_folder_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match="unable to open"):
        open_registry(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")


def test_who_reads_makes_no_registry_by_a_slip_and_is_told_how_one_is_made(tmp_path):
    url = f"sqlite:///{tmp_path / 'regstry.db'}"
    with pytest.raises(StorageError, match=rf"no registry at {url}: .*'worldsim registry init {url}' makes it"):
        open_existing(url)
    assert list(tmp_path.iterdir()) == []
    with open_registry(url) as empty, pytest.raises(ModelNotFoundError, match=rf"It is empty; .* init {url}' fills it"):
        empty.fetch("generic/unknown")
    open_existing(url).close()
    open_existing("builtin").close()


def test_a_file_that_is_no_database_is_damaged(tmp_path):
    (tmp_path / "x.db").write_bytes(b"hello world" * 1000)
    with pytest.raises(IntegrityError, match="not a database"):
        open_registry(f"sqlite:///{tmp_path / 'x.db'}")


def test_a_truncated_database_is_damaged_or_refused(address, tmp_path, cat_card):
    with open_registry(address) as registry:
        for number in range(20):
            registry.publish(Cat(cat_card.replace(provenance=f"Number {number}.")))
    file = tmp_path / "registry.db"
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(RegistryError), open_registry(address) as registry:  # noqa: PT012 - any may be first to see it
        for version in range(1, 21):
            registry.fetch("cat/test-cat", version)
        assert verify(registry).sound


def test_a_flipped_bit_in_a_pack_is_an_integrity_error(registry, cat_card):
    registry.publish(Cat(cat_card))
    with pack(registry).open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    with pytest.raises(IntegrityError, match=r"cat/test-cat@1.*truncated or was changed"):
        registry.fetch("cat/test-cat")
    assert [f.what for f in verify(registry).findings] == ["blob"]


def flipped(path):
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))


@pytest.mark.parametrize("harm", [flipped, lambda path: os.truncate(path, 10)])
@pytest.mark.parametrize("mend", ["publish", "import"])
def test_who_stores_the_same_bytes_again_mends_those_that_are_damaged(registry, cat_card, tmp_path, harm, mend):
    registry.publish(Cat(cat_card))
    export_models(registry, tmp_path / "all.tar")
    _, before = registry.fetch_bytes("cat/test-cat")
    harm(pack(registry))
    assert not verify(registry).sound
    if mend == "publish":
        registry.publish(Cat(cat_card))
    else:
        assert import_models(registry, tmp_path / "all.tar").stored == 0
    assert verify(registry).sound
    assert registry.fetch_bytes("cat/test-cat", 1)[1] == before


def test_a_truncated_pack_is_an_integrity_error(registry, cat_card):
    registry.publish(Cat(cat_card))
    os.truncate(pack(registry), 10)
    with pytest.raises(IntegrityError, match="is truncated"):
        registry.fetch("cat/test-cat")


def test_a_missing_pack_is_an_integrity_error(registry, cat_card):
    registry.publish(Cat(cat_card))
    pack(registry).unlink()
    with pytest.raises(IntegrityError, match="is missing"):
        registry.fetch("cat/test-cat")


def test_bytes_of_a_write_that_never_ended_are_written_over(address, cat_card):
    with open_registry(address) as registry:
        registry.publish(Cat(cat_card))
        with pack(registry).open("ab") as file:
            file.write(b"half a model")
        findings = verify(registry).findings
        assert [(f.what, f.harmless) for f in findings] == [("pack", True)]
        registry.publish(Cat(cat_card), stream())
        assert verify(registry).findings == ()
        assert registry.fetch("cat/test-cat", 1).card.version == 1


def test_a_model_outside_the_plugin_table_is_refused_and_the_table_told(any_registry, cat_card):
    class Stranger(Cat):
        family = "stranger"

    with pytest.raises(PluginError, match=r"'stranger'.*Known: cat, dog"):
        any_registry.publish(Stranger(cat_card.replace(family="stranger")))
    assert len(any_registry) == 0


def test_a_broken_card_is_refused_and_nothing_is_stored(any_registry, cat_card):
    with pytest.raises(CardError, match="model id"):
        any_registry.publish(Cat(cat_card.replace(model_id="../../etc/passwd")))
    with pytest.raises(CardError, match="field licence"):
        any_registry.publish(Cat(cat_card.replace(licence="x" * 100)))
    with pytest.raises(CardError, match="expected at most 65536"):
        any_registry.publish(Cat(cat_card.replace(provenance="x" * 10**6)))
    assert len(any_registry) == 0
    assert verify(any_registry).findings == ()


def test_the_store_keeps_the_contract(any_registry):
    assert isinstance(any_registry, Registry)


def publish_many(address: str, name: str, count: int, card) -> None:
    with open_registry(address) as registry:
        for number in range(count):
            mine = card.replace(model_id=f"cat/{name}", provenance=f"Process {os.getpid()}.")
            registry.publish(Cat(mine), stream(50, hash((name, number)) % 2**32))


def test_two_writers_at_once_lose_nothing(any_address, cat_card):
    context = multiprocessing.get_context("fork")  # a spawned one would import torch for seconds first
    names = ["left", "right", "shared", "shared"]
    writers = [context.Process(target=publish_many, args=(any_address, name, 15, cat_card)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    with open_registry(any_address) as registry:
        assert registry.versions("cat/left") == list(range(1, 16))
        assert registry.versions("cat/shared") == list(range(1, 31))
        assert verify(registry).findings == ()


@pytest.mark.parametrize("url", ["builtin", None])
def test_threads_may_share_a_registry(url, address, cat_card):
    with open_registry(url or address) as registry:
        failures: list[BaseException] = []

        def work(name: str) -> None:
            try:
                for number in range(10):
                    registry.publish(Cat(cat_card.replace(model_id=f"cat/{name}", provenance=f"Number {number}.")))
                    registry.search(Query(extent_m=(0.45, 0.16, 0.3)))
                    registry.fetch(f"cat/{name}")
            except BaseException as error:  # noqa: BLE001 - told to the test's own thread
                failures.append(error)

        threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b", "c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert registry.versions("cat/a") == list(range(1, 11))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB, where this process may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    made = mount and os.geteuid() == 0
    made = (
        made and subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False).returncode == 0
    )
    if not made:
        pytest.skip("no right to mount a small file system here; the limit on file sizes is tested beside it")
    try:
        yield folder
    finally:  # lazily: a test that failed may still hold a file open there
        subprocess.run([shutil.which("umount"), "-l", folder], check=True)


def test_a_full_disk_is_a_storage_error_and_the_store_is_intact(small_disk, cat_card):
    published = 0
    with open_registry(f"sqlite:///{small_disk / 'r.db'}") as registry:
        refusal = None
        while refusal is None and published < 1000:
            try:
                registry.publish(Cat(cat_card), stream(300, published))
                published += 1
            except StorageError as error:
                refusal = str(error)
        assert re.search(r"(full|No space left).*what was stored before is intact", refusal)
        assert published > 3  # it did work until the disk was full
        assert registry.versions("cat/test-cat") == list(range(1, published + 1))
        for version in range(1, published + 1):
            assert registry.fetch("cat/test-cat", version).card.version == version
        assert verify(registry).sound
    with open_registry(f"sqlite:///{small_disk / 'r.db'}") as registry:
        assert registry.versions("cat/test-cat") == list(range(1, published + 1))


LIMITED = """
import resource, sys
from worldsim.errors import StorageError
from worldsim.registry import open_registry
source, address, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open_registry(source) as shipped, open_registry(address) as registry:
    models = [shipped.fetch(c.model_id) for c in shipped.cards()[:150]]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        for model in models:
            registry.publish(model)
    except StorageError as error:
        print(len(registry), error)
"""


def test_a_file_that_may_not_grow_is_a_storage_error_and_the_store_is_intact(address):
    """The same promise as on a full disk, where nothing can be mounted: the system refuses to lengthen a file."""
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, "builtin", address, str(300_000)], capture_output=True, text=True, check=True
    )
    stored, _, message = run.stdout.partition(" ")
    assert "cannot" in message
    with open_registry(address) as registry:
        assert len(registry) == int(stored) > 0
        assert verify(registry).sound


def test_a_publisher_killed_at_any_moment_leaves_whole_models_only(address, cat_card):
    context = multiprocessing.get_context("fork")  # a spawned one would import torch for seconds first
    open_registry(address).close()
    rng = np.random.default_rng(0)
    for number in range(6):
        writer = context.Process(target=publish_many, args=(address, f"killed-{number}", 10_000, cat_card))
        writer.start()
        with open_registry(address) as registry:
            while not registry.versions(f"cat/killed-{number}"):
                assert writer.is_alive()
            writer.join(float(rng.uniform(0.0, 0.1)))
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        with open_registry(address) as registry:
            found = registry.versions(f"cat/killed-{number}")
            assert found == list(range(1, len(found) + 1))
            assert verify(registry).sound
            registry.publish(Cat(cat_card))


def test_verify_rebuilds_what_follows_from_the_cards(any_address, cat_card):
    with open_registry(any_address) as registry:
        registry.publish(Cat(cat_card))
        registry.publish(Cat(cat_card.replace(model_id="cat/other")))
        with registry.database.writing() as connection:
            connection.execute(descriptors.delete().where(descriptors.c.model_id == "cat/other"))
            connection.execute(models.delete().where(models.c.model_id == "cat/test-cat"))
    with open_registry(any_address) as registry:
        assert sorted(f.what for f in verify(registry).findings) == ["descriptor", "pointer"]
        assert not verify(registry).sound
        assert verify(registry, repair=True).sound
        assert verify(registry).findings == ()
        assert len(registry.search(Query(extent_m=(0.45, 0.16, 0.3)))) == 2


def test_the_limit_on_file_sizes_is_not_left_behind():
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
