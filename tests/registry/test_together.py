"""Several processes and threads at one registry: what they read is one state, and what they make is made once."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
from itertools import islice

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from worldsim.commands.registry import app
from worldsim.errors import IntegrityError, RegistryError
from worldsim.models.cat import Cat
from worldsim.registry import open_registry
from worldsim.registry.blobs import looked_up
from worldsim.registry.builtin import shipped_models
from worldsim.registry.database import cards, models
from worldsim.registry.growth import grow
from worldsim.registry.maintenance import collect_garbage, statistics, verify
from worldsim.registry.portable import export_models, import_models
from worldsim.types import Query, Shape

LIKE_THE_CAT = Query(extent_m=(0.45, 0.16, 0.30))


def at_once(work, count: int, *arguments) -> list[int]:
    """Run `work` in so many processes; return their exit statuses."""
    context = multiprocessing.get_context("fork")  # a spawned one would import torch for seconds first
    started = [context.Process(target=work, args=arguments) for _ in range(count)]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    return [process.exitcode for process in started]


def init(address: str) -> None:
    assert CliRunner().invoke(app, ["init", address], catch_exceptions=False).exit_code == 0


def grow_to(address: str, count: int) -> None:
    with open_registry(address) as registry:
        grow(registry, count)


def test_a_registry_that_several_fill_at_once_holds_each_card_once(any_address):
    assert at_once(init, 3, any_address) == [0, 0, 0]
    with open_registry(any_address) as registry:
        said = statistics(registry)
        assert said["models"] == said["versions"] == len(list(shipped_models()))
        assert verify(registry).findings == ()


def test_several_that_grow_a_registry_at_once_make_the_models_of_one(address):
    assert at_once(grow_to, 2, address, 1200) == [0, 0]
    with open_registry(address) as together, open_registry(f"{address}.alone") as alone:
        grow(alone, 1200)
        assert together.cards() == alone.cards()
        assert statistics(together)["versions"] == 1200


def test_a_search_that_leaves_some_out_pairs_cards_and_distances_while_others_publish(address, cat_card):
    with open_registry(address) as registry:
        registry.store_checked(list(islice(shipped_models(), 40)))
        over, failures = threading.Event(), []

        def publish() -> None:
            for number in range(150):
                registry.publish(Cat(cat_card.replace(model_id=f"cat/c{number % 4}")))
            over.set()

        def search() -> None:
            query = Query(extent_m=(0.45, 0.16, 0.30), exclude=frozenset({"cat/c0"}))
            while not over.is_set():
                bundle = registry.bundle(query)
                if len(bundle.texts) != len(bundle.distances):
                    failures.append((len(bundle.texts), len(bundle.distances)))

        threads = [threading.Thread(target=work) for work in (publish, search, search, search)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []


def test_who_fetches_while_garbage_is_collected_is_not_told_that_models_are_lost(address, cat_card):
    with open_registry(address) as registry:
        registry.store_checked(list(islice(shipped_models(), 40)))
        wanted = [card.model_id for card in registry.cards()]
        over, failures = threading.Event(), []

        def fetch() -> None:
            while not over.is_set():
                for model_id in wanted:
                    try:
                        registry.fetch(model_id)
                        registry.bundle(Query(extent_m=(0.45, 0.16, 0.30)), 2)
                    except RegistryError as error:
                        failures.append(str(error))

        threads = [threading.Thread(target=fetch) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(20):  # each leaves the bytes of an old version behind, and collects them
            extent = (0.45 + 0.001 * number, 0.16, 0.30)
            registry.publish(Cat(cat_card.replace(shape=Shape("box", extent, cat_card.shape.extent_std_m))))
            collect_garbage(registry, keep_versions=1)
        over.set()
        for thread in threads:
            thread.join()
        assert failures == []


def test_bytes_that_move_again_and_again_are_looked_for_and_those_gone_from_one_place_twice_are_lost() -> None:
    places = [f"pack-{number} is missing" for number in range(4)]

    def moving() -> bytes:
        if places:
            raise IntegrityError(places.pop(0))
        return b"there"

    def lost() -> bytes:
        raise IntegrityError("pack-1 is missing")

    assert looked_up(moving) == b"there"
    with pytest.raises(IntegrityError, match="pack-1"):
        looked_up(lost)


def test_an_export_is_one_state_though_others_publish_meanwhile(any_address, address, tmp_path, cat_card):
    with open_registry(any_address) as registry, open_registry(any_address) as other:
        registry.store_checked(list(islice(shipped_models(), 3)))
        told = []

        def publish(done: int, total: int) -> None:
            told.append((done, total))
            other.publish(Cat(cat_card))

        with registry.database.reading() as connection:  # what an export reads by
            count = sa.select(sa.func.count()).select_from(cards)
            before = connection.execute(count).scalar_one()
            other.publish(Cat(cat_card.replace(model_id="cat/meanwhile")))
            assert connection.execute(count).scalar_one() == before
        done = export_models(registry, tmp_path / "models.tar", progress=publish)
        assert told == [(4, 4)]
        assert done.versions == 4
    with open_registry(f"{address}.copy") as copy:
        assert import_models(copy, done.path).stored == 4


def test_a_card_whose_text_was_changed_is_read_by_nobody(any_registry, cat_card, tmp_path):
    any_registry.publish(Cat(cat_card))
    with any_registry.database.writing() as connection:
        connection.execute(cards.update().values(body=sa.func.replace(cards.c.body, "0.45", "0.46")))
    reads = (
        lambda: any_registry.fetch("cat/test-cat"),
        lambda: any_registry.card("cat/test-cat", 1),
        any_registry.cards,
        any_registry.card_page,
        lambda: export_models(any_registry, tmp_path / "out"),
    )
    for read in reads:
        with pytest.raises(IntegrityError, match="is damaged"):
            read()
    assert not (tmp_path / "out").exists()


def test_a_family_without_its_plug_in_keeps_nobody_from_verifying_and_saving_the_rest(
    registry, address, tmp_path, cat_card
):
    registry.publish(Cat(cat_card))
    with registry.database.writing() as connection:  # as if the package that brings `lynx` had been removed since
        text = connection.execute(sa.select(cards.c.body)).scalar_one().replace('"family":"cat"', '"family":"lynx"')
        assert '"lynx"' in text
        digest = hashlib.sha256(text.encode()).hexdigest()
        connection.execute(cards.update().values(body=text, body_sha256=digest, family="lynx"))
        assert connection.execute(sa.select(models.c.model_id)).scalar_one() == "cat/test-cat"
    found = verify(registry)
    assert found.sound
    assert [(f.what, f.where, f.harmless) for f in found.findings] == [("family", "lynx", True)]
    assert export_models(registry, tmp_path / "kept.tar").models == 1
