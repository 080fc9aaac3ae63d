"""The cache that is written in the background: nothing waits for it, and nothing is lost by that."""

from __future__ import annotations

import threading

import numpy as np

from worldsim.registry import write_behind
from worldsim.registry.artefact import sha256_of
from worldsim.registry.blob_cache import BlobCache
from worldsim.registry.write_behind import WriteBehind


class SlowCache(BlobCache):
    """A cache on a disk that does not write before it is told to."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        self.may_write = threading.Event()

    def put(self, sha256: str, data: bytes) -> None:
        assert self.may_write.wait(30.0)
        super().put(sha256, data)


def blob(number: int) -> tuple[str, bytes]:
    data = np.random.default_rng(number).bytes(1000)
    return sha256_of(data), data


def test_what_is_not_written_yet_is_answered_from_memory(tmp_path):
    slow = SlowCache(tmp_path)
    kept = WriteBehind(slow)
    key, data = blob(0)
    kept.put({key: data})
    assert kept.get(key) == data
    assert slow.get(key) is None
    slow.may_write.set()
    kept.settle()
    assert slow.get(key) == data
    assert kept.get(key) == data


def test_a_card_that_was_put_is_there_when_it_is_asked_for(tmp_path, cat_card):
    kept = WriteBehind(BlobCache(tmp_path))
    kept.put({}, [cat_card.replace(version=1), cat_card.replace(version=2)], "a-place")
    found = kept.card("a-place", "cat/test-cat", None)
    assert found is not None
    assert found.version == 2
    assert kept.card("a-place", "cat/test-cat", 3) is None


def test_a_disk_slower_than_the_network_holds_up_the_puts(tmp_path, monkeypatch):
    monkeypatch.setattr(write_behind, "_LARGEST_BACKLOG_BYTES", 1500)
    slow = SlowCache(tmp_path)
    kept = WriteBehind(slow)
    for number in range(2):
        kept.put(dict([blob(number)]))
    third = threading.Thread(target=lambda: kept.put(dict([blob(2)])))
    third.start()
    third.join(0.2)
    assert third.is_alive()  # it waits for the disk
    slow.may_write.set()
    third.join(30.0)
    kept.settle()
    assert [slow.get(key) for key, _ in map(blob, range(3))] == [data for _, data in map(blob, range(3))]


def test_a_disk_that_refuses_costs_the_cache_and_nothing_else(tmp_path, cat_card):
    (tmp_path / "file").write_bytes(b"")
    kept = WriteBehind(BlobCache(tmp_path / "file"))  # no folder can be made there
    key, data = blob(0)
    kept.put({key: data}, [cat_card.replace(version=1)], "a-place")
    kept.settle()
    assert kept.get(key) is None
    assert kept.card("a-place", "cat/test-cat", None) is None


def test_the_thread_ends_with_the_cache_and_writes_the_rest_first(tmp_path):
    cache = BlobCache(tmp_path)
    kept = WriteBehind(cache)
    key, data = blob(0)
    kept.put({key: data})
    thread = kept._thread
    assert thread is not None
    del kept
    thread.join(30.0)
    assert not thread.is_alive()
    assert cache.get(key) == data
