"""What is PostgreSQL's own; that it keeps the promises of every store is in test_store, which runs on both."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("psycopg", reason="PostgreSQL needs worldsim-lab[server]")

from worldsim.errors import StorageError
from worldsim.models.cat import Cat
from worldsim.registry import open_registry
from worldsim.registry.builtin import shipped_models
from worldsim.registry.maintenance import collect_garbage, statistics, verify
from worldsim.types import Query

CAT = Query(extent_m=(0.45, 0.16, 0.30), motion={"speed_mean": 0.8})


def test_it_answers_as_the_built_in_registry_does(postgresql, builtin, cat_card):
    with open_registry(postgresql) as registry:
        registry.store_checked(list(shipped_models()))
        assert registry.cards() == builtin.cards()
        assert registry.cards(tag="starter") == builtin.cards(tag="starter")
        assert registry.search(CAT) == builtin.search(CAT)
        registry.publish(Cat(cat_card))
        registry.publish(Cat(cat_card.replace(provenance="second")))
        registry.set_alias("cat/test-cat", "champion", 1)
        assert registry.aliases("cat/test-cat") == {"champion": 1}
        assert registry.fetch("cat/test-cat", 1).card.provenance == "Written for a test."
        assert statistics(registry)["versions"] == len(registry) + 1
        assert verify(registry).findings == ()
        assert collect_garbage(registry).blobs == 0
    with open_registry(postgresql) as again:
        assert again.versions("cat/test-cat") == [1, 2]


def test_several_writers_lose_nothing(postgresql, cat_card):
    open_registry(postgresql).close()

    def write(name: str, writer: int) -> None:
        with open_registry(postgresql) as registry:
            for number in range(8):
                card = cat_card.replace(model_id=f"cat/{name}", provenance=f"Writer {writer}, number {number}.")
                registry.publish(Cat(card))

    names = ("left", "shared", "shared")
    writers = [threading.Thread(target=write, args=(name, number)) for number, name in enumerate(names)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with open_registry(postgresql) as registry:
        assert registry.versions("cat/left") == list(range(1, 9))
        assert registry.versions("cat/shared") == list(range(1, 17))
        assert verify(registry).findings == ()


def test_a_server_that_is_not_there_is_a_storage_error():
    with pytest.raises(StorageError, match="Is the database server running"):
        open_registry("postgresql://worldsim@127.0.0.1:1/none")
