"""A cache that is written from a thread of its own: who fetched something does not wait for the disk."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from queue import SimpleQueue

from worldsim.registry.blob_cache import BlobCache
from worldsim.types.card import ModelCard

__all__ = ["WriteBehind"]

_LARGEST_BACKLOG_BYTES = 1 << 26  # beyond it a put waits: the disk is slower than the network
_AT_EXIT_S = 5.0
_Item = tuple[Mapping[str, bytes], Sequence[ModelCard], str | None]


class WriteBehind:
    """Puts blobs and cards into a `BlobCache` in the background. Safe to use from several threads.

    What is not written yet is answered from memory. At the end of the process the rest is written, for some seconds:
    what is lost then is fetched again another day.
    """

    def __init__(self, cache: BlobCache) -> None:
        """Write into `cache`; no thread is begun before the first put."""
        self.cache = cache
        self._backlog = _Backlog(cache)
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, blobs: Mapping[str, bytes], cards: Sequence[ModelCard] = (), place: str | None = None) -> None:
        """Keep `blobs` (sha256 -> bytes), and `cards` in the place of their registry, where that has one."""
        with self._turn:
            if self._thread is None:
                # the thread knows the backlog, not this object, which may be forgotten while the thread waits
                self._thread = threading.Thread(target=self._backlog.work, name="worldsim-registry-cache", daemon=True)
                self._thread.start()
                weakref.finalize(self, _end, self._backlog, self._thread)
        if self._backlog.bytes > _LARGEST_BACKLOG_BYTES:
            self._backlog.wait()
        self._backlog.add(blobs, cards, place)

    def get(self, sha256: str) -> bytes | None:
        """Return the blob, or None where it is not here whole."""
        waiting = self._backlog.blobs.get(sha256)
        return self.cache.get(sha256) if waiting is None else waiting

    def card(self, place: str, model_id: str, version: int | None) -> ModelCard | None:
        """Return a card that was put there: that version, or the newest of those there."""
        self.settle()
        return self.cache.card(place, model_id, version)

    def settle(self) -> None:
        """Wait until everything is written."""
        with self._turn:
            if self._thread is not None:
                self._backlog.wait()


class _Backlog:
    """What waits to be written."""

    def __init__(self, cache: BlobCache) -> None:
        self.cache = cache
        self.blobs: dict[str, bytes] = {}
        self.bytes = 0
        self._turn = threading.Lock()
        self._items: SimpleQueue[_Item | threading.Event | None] = SimpleQueue()

    def add(self, blobs: Mapping[str, bytes], cards: Sequence[ModelCard], place: str | None) -> None:
        with self._turn:
            fresh = {key: data for key, data in blobs.items() if key not in self.blobs}
            self.blobs |= fresh
            self.bytes += sum(map(len, fresh.values()))
        self._items.put((fresh, cards, place))

    def wait(self) -> None:
        """Wait until all that was added before has been written."""
        written = threading.Event()
        self._items.put(written)
        written.wait()

    def end(self) -> None:
        self._items.put(None)

    def work(self) -> None:
        while (item := self._items.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
            else:
                for key, data in item[0].items():
                    with suppress(OSError):  # a cache: what cannot be written is not kept
                        self.cache.put(key, data)
                    with self._turn:
                        del self.blobs[key]
                        self.bytes -= len(data)
                if item[2] is not None:
                    for card in item[1]:
                        with suppress(OSError):
                            self.cache.put_card(item[2], card)


def _end(backlog: _Backlog, thread: threading.Thread) -> None:
    backlog.end()
    thread.join(_AT_EXIT_S)
