"""A served registry whose database another process is writing to: nobody waits in vain, and nothing is stored twice."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from contextlib import closing

import httpx
import pytest

pytest.importorskip("fastapi", reason="the service needs worldsim-lab[server]")
from tests.registry.serving import TOKEN, Served
from worldsim.engine.enquiries import Enquiries, Receipt
from worldsim.errors import StorageError
from worldsim.models.cat import Cat
from worldsim.registry import HttpRegistry, open_registry
from worldsim.registry.blob_cache import BlobCache

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def served(address, cat_card):
    with open_registry(address) as registry:
        registry.publish(Cat(cat_card))
    service = Served(address)
    yield service
    service.stop()


@pytest.fixture
def client(served, tmp_path):
    with HttpRegistry(served.url, token=TOKEN, cache=BlobCache(tmp_path / "cache")) as registry:
        yield registry


@pytest.fixture
def lock(served, tmp_path):
    """The writer's lock, held by another connection until the test rolls back (or ends)."""
    with closing(sqlite3.connect(tmp_path / "registry.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield holder


def test_a_publish_is_refused_before_the_client_gives_up_and_is_not_stored_later(client, lock, cat_card):
    mine = Cat(cat_card.replace(model_id="cat/mine"))
    with pytest.raises(StorageError, match=r"503.*Another process held it"):
        client.publish(mine)
    lock.execute("ROLLBACK")
    client.publish(Cat(cat_card.replace(model_id="cat/after")))  # whatever waited for the lock has had its turn
    assert client.versions("cat/mine") == []
    assert client.publish(mine) == "cat/mine@1"


def test_a_learned_model_that_is_handed_in_again_and_again_is_stored_once(client, lock, cat_card):
    enquiries = Enquiries(client, first_pause_s=0.01)
    enquiries.publish(1, Cat(cat_card.replace(model_id="cat/learned")))
    receipts: list[Receipt] = []
    deadline = time.monotonic() + 60.0
    while not receipts or receipts[-1].published_as is None:
        assert time.monotonic() < deadline
        receipts += enquiries.collect()
        if len(receipts) == 2 and lock.in_transaction:
            lock.execute("ROLLBACK")
        time.sleep(0.01)
    assert receipts[-1].published_as == "cat/learned@1"
    assert client.versions("cat/learned") == [1]


def test_who_reads_does_not_wait_for_those_who_wait_to_write(served, lock):
    answers: list[int] = []

    def name() -> None:
        sent = {"json": {"version": 1}, "headers": HEADERS, "timeout": 60.0, "trust_env": False}
        answers.append(httpx.put(f"{served.url}/v1/models/cat/test-cat/aliases/champion", **sent).status_code)

    writers = [threading.Thread(target=name) for _ in range(50)]
    for writer in writers:
        writer.start()
    try:
        with httpx.Client(base_url=served.url, timeout=10.0, trust_env=False) as http:
            while any(writer.is_alive() for writer in writers):
                assert http.get("/v1/models/cat/test-cat").status_code == 200
    finally:
        for writer in writers:
            writer.join(60.0)
        lock.execute("ROLLBACK")
    assert answers == [503] * 50  # the lock was held until all had been told


def test_what_was_sent_and_not_acknowledged_is_said_to_be_so(tmp_path, cat_card):
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:  # takes the connection and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            HttpRegistry(url, token=TOKEN, cache=BlobCache(tmp_path), timeout_s=0.2) as client,
            pytest.raises(StorageError, match=r"sent, but not acknowledged \(ReadTimeout.*may be stored"),
        ):
            client.publish(Cat(cat_card))
