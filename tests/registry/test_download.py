"""A download that is cut off goes on where it was, and the cache keeps to its size."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.registry.test_store import stream
from worldsim.errors import ConfigurationError, IntegrityError, StorageError
from worldsim.models.cat import Cat
from worldsim.registry import HttpRegistry, open_registry
from worldsim.registry.artefact import sha256_of
from worldsim.registry.blob_cache import BlobCache
from worldsim.registry.cards import dump_card
from worldsim.registry.download import Download

PIECE = 1000


class Cut(httpx.BaseTransport):
    """A server of one model whose connection breaks after so many pieces; it keeps what it was asked for."""

    def __init__(self, registry, pieces: int) -> None:
        self.registry, self.pieces = registry, pieces
        self.ranges: list[str | None] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        card, data = self.registry.fetch_bytes("cat/test-cat")
        if not request.url.path.endswith("/model"):
            return httpx.Response(200, text=dump_card(card))
        wanted = request.headers.get("range")
        self.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(data):
            return httpx.Response(416, headers={"Content-Range": f"bytes */{len(data)}"})
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if wanted else {}
        return httpx.Response(206 if wanted else 200, headers=headers, stream=Pieces(data[start:], self.pieces))


class Pieces(httpx.SyncByteStream):
    def __init__(self, data: bytes, pieces: int) -> None:
        self.data, self.pieces = data, pieces

    def __iter__(self) -> Iterator[bytes]:
        for number, start in enumerate(range(0, len(self.data), PIECE)):
            if number == self.pieces:
                raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")
            yield self.data[start : start + PIECE]


@pytest.fixture
def stored(cat_card):
    with open_registry("sqlite://") as registry:
        registry.publish(Cat(cat_card), stream(200))
        yield registry


def client(transport: Cut, folder, attempts: int = 4) -> HttpRegistry:
    return HttpRegistry("http://far", cache=BlobCache(folder), transport=transport, attempts=attempts)


def test_an_interrupted_download_goes_on_by_range(stored, tmp_path):
    card, data = stored.fetch_bytes("cat/test-cat")
    transport = Cut(stored, pieces=5)
    with client(transport, tmp_path) as registry:
        assert registry.fetch("cat/test-cat").card == card
    assert transport.ranges == [None, *(f"bytes={n}-" for n in range(5000, len(data), 5000))]
    assert BlobCache(tmp_path).get(card.sha256) == data
    assert list((tmp_path / "parts").iterdir()) == []


def test_the_next_process_goes_on_where_this_one_ended(stored, tmp_path):
    card, data = stored.fetch_bytes("cat/test-cat")
    with client(Cut(stored, pieces=3), tmp_path, attempts=1) as registry, pytest.raises(StorageError):
        registry.fetch("cat/test-cat")
    assert (tmp_path / "parts" / card.sha256).read_bytes() == data[:3000]
    transport = Cut(stored, pieces=1000)
    with client(transport, tmp_path) as registry:
        assert registry.fetch("cat/test-cat").card == card
    assert transport.ranges == ["bytes=3000-"]


@pytest.mark.parametrize("kept", [b"x" * 3000, b"x" * 100_000])
def test_what_was_kept_and_is_damaged_is_downloaded_anew(stored, tmp_path, kept):
    card, _ = stored.fetch_bytes("cat/test-cat")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / card.sha256).write_bytes(kept)
    with client(Cut(stored, pieces=1000), tmp_path) as registry:
        assert registry.fetch("cat/test-cat").card == card


def test_other_bytes_than_the_cards_are_an_integrity_error_and_are_not_kept(stored, tmp_path):
    class Liar(Cut):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/model"):
                return httpx.Response(200, content=b"something else")
            return super().handle_request(request)

    card, _ = stored.fetch_bytes("cat/test-cat")
    with client(Liar(stored, 1), tmp_path) as registry, pytest.raises(IntegrityError, match="other bytes"):
        registry.fetch("cat/test-cat")
    assert BlobCache(tmp_path).get(card.sha256) is None
    assert list((tmp_path / "parts").iterdir()) == []


def test_an_endless_download_is_ended(stored, tmp_path):
    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield bytes(1 << 20)

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Endless())

    with (
        Download(tmp_path / "part") as arriving,
        httpx.Client(transport=httpx.MockTransport(answer)) as http,
        pytest.raises(IntegrityError, match="sends more than"),
    ):
        arriving.attempt(http, "http://far/model", {})


def test_two_downloads_of_one_model_do_not_write_into_each_other(tmp_path):
    with Download(tmp_path / "part") as first, Download(tmp_path / "part") as second:
        assert (first._is_kept, second._is_kept) == (True, False)


def test_where_nothing_can_be_kept_models_are_fetched_all_the_same(stored, tmp_path):
    (tmp_path / "file").write_bytes(b"no folder can be made here")
    with client(Cut(stored, pieces=1000), tmp_path / "file") as registry:
        assert registry.fetch("cat/test-cat").card.kind == "cat"


def test_cards_and_unfinished_downloads_count_towards_the_size_of_the_cache(tmp_path, cat_card):
    cache = BlobCache(tmp_path, max_bytes=20_000)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "unfinished").write_bytes(bytes(5000))
    for number in range(40):
        cache.put_card("a-place", cat_card.replace(version=number + 1))
        cache.put(sha256_of(bytes([number])), bytes([number]))
    kept = [f.stat().st_size for f in tmp_path.rglob("*") if f.is_file()]
    assert sum(kept) <= 20_000
    assert cache.card("a-place", "cat/test-cat", 40) is not None
    assert cache.card("a-place", "cat/test-cat", 1) is None


def test_the_size_of_the_users_cache_is_set_by_a_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path))
    monkeypatch.setenv("WORLDSIM_CACHE_BYTES", "12345")
    assert BlobCache.of_user().max_bytes == 12345
    monkeypatch.setenv("WORLDSIM_CACHE_BYTES", "a lot")
    with pytest.raises(ConfigurationError, match="WORLDSIM_CACHE_BYTES is 'a lot'"):
        BlobCache.of_user()
