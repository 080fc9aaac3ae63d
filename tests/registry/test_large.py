"""Growth and the inverted file, on a registry small enough for a test: the limit for exact search is lowered."""

from __future__ import annotations

import shutil
from itertools import islice

import numpy as np
import pytest

pytest.importorskip("faiss", reason="large registries need worldsim-lab[server]")

from worldsim.models.cat import Cat
from worldsim.registry import StoredRegistry, open_registry, search_index
from worldsim.registry.artefact import model_bytes, open_model
from worldsim.registry.builtin import shipped_models
from worldsim.registry.cards import card_from_json, card_to_json
from worldsim.registry.descriptor import query_vector
from worldsim.registry.growth import grow, synthetic_models
from worldsim.registry.maintenance import collect_garbage, statistics, verify
from worldsim.registry.search_index import SearchIndex
from worldsim.types import Query

COUNT = 1500


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grown")
    address = f"sqlite:///{folder / 'large.db'}"
    with open_registry(address) as registry:
        grow(registry, COUNT)
    return address


@pytest.fixture
def large(grown, monkeypatch) -> StoredRegistry:
    monkeypatch.setattr(search_index, "EXACT_BELOW", 1000)
    with open_registry(grown) as registry:
        registry.index.build()
        yield registry


def queries(registry: StoredRegistry, count: int = 40) -> list[Query]:
    cards = registry.cards_at(list(range(1, COUNT, COUNT // count)))
    return [
        Query(extent_m=c.shape.extent_m, appearance=c.descriptor.appearance, motion=c.descriptor.motion) for c in cards
    ]


def test_an_interrupted_growth_goes_on_to_the_same_models(address):
    with open_registry(address) as whole:
        grow(whole, 40)
    with open_registry(f"{address}.2") as pieces:
        assert [grow(pieces, n) for n in (7, 25, 40, 40)] == [7, 18, 15, 0]
    with open_registry(address) as whole, open_registry(f"{address}.2") as pieces:
        assert whole.cards() == pieces.cards()


def test_a_synthetic_model_has_the_very_bytes_that_a_publish_would_give_it():
    archetypes = [card for card, _ in shipped_models()]
    seen = set()
    for card, data in islice(synthetic_models(archetypes, 3, 7), 200):
        model, recording = open_model(card, data)
        assert recording is not None
        assert model_bytes(card, recording) == data
        seen.add((card.family, card.descriptor.appearance is None))
        assert 19_000 < len(data) < 22_000
        assert model.card == card_from_json(card_to_json(card))
    assert len(seen) > 8


def test_the_inverted_file_finds_what_the_exact_search_finds(large):
    exact = SearchIndex(large.database, None)
    shares = []
    with large.database.reading() as connection:
        for query in queries(large):
            for lacking in ("", "appearance", "motion", "extent_m"):
                given = {f: getattr(query, f) for f in ("extent_m", "appearance", "motion") if f != lacking}
                vector = query_vector(Query(**given))
                found = large.index.nearest(connection, vector, 256).row[:8]
                truth = exact.nearest(connection, vector, 256).row[:8]
                shares.append(len(np.intersect1d(found, truth)) / 8.0)
    assert not large.index.is_exact
    assert np.mean(shares) >= 0.99


def test_what_is_published_after_the_file_was_built_is_found(large, cat_card):
    query = Query(extent_m=cat_card.shape.extent_m, appearance=cat_card.descriptor.appearance)
    large.search(query)
    assert not large.index.is_exact
    large.publish(Cat(cat_card))
    assert large.search(query).cards[0].model_id == "cat/test-cat"
    old = large.search(queries(large, 1)[0]).cards[0]
    model = large.fetch(old.model_id)
    large.publish(type(model)(model.card.replace(provenance="Published again.")))
    again = [c for c in large.search(queries(large, 1)[0]).cards if c.model_id == old.model_id]
    assert [c.version for c in again] == [large.versions(old.model_id)[-1]]
    for number in range(2):
        large.publish(type(model)(model.card.replace(provenance=f"And again, {number}.")))
    again = [c for c in large.search(queries(large, 1)[0]).cards if c.model_id == old.model_id]
    assert [c.version for c in again] == [large.versions(old.model_id)[-1]]


def test_what_is_excluded_takes_nobody_elses_place_in_a_large_registry(large):
    exact = SearchIndex(large.database, None)
    with large.database.reading() as connection:
        for query in queries(large, 10):
            vector = query_vector(query)
            exclude = set(exact.nearest(connection, vector, 200).row.tolist())
            wanted = exact.nearest(connection, vector, 8, exclude=exclude)
            found = large.index.nearest(connection, vector, 512, exclude=exclude)
            assert len(np.intersect1d(found.row, wanted.row)) >= 6  # near enough, as without


@pytest.mark.parametrize("few", [10**9, 100])
def test_filters_hold_in_a_large_registry(large, monkeypatch, few):
    """Whether every card that passes is compared (few: more than there are), or the nearest are looked through."""
    large.search(queries(large, 1)[0])
    assert not large.index.is_exact
    monkeypatch.setattr(search_index, "EXACT_BELOW", few)
    exact = SearchIndex(large.database, None)
    with large.database.reading() as connection:
        rows = large.filters.rows(connection, "synthetic", "MIT")
        assert len(rows) >= COUNT  # old versions may be among them
        for query in queries(large, 10):
            vector = query_vector(query)
            found = large.index.nearest(connection, vector, 256, None, (), rows).row[:8]
            assert len(np.intersect1d(found, exact.nearest(connection, vector, 256, None, (), rows).row[:8])) >= 7
            found = large.index.nearest(connection, vector, 256, "ball", (), rows).row[:8]
            assert np.array_equal(found, exact.nearest(connection, vector, 256, "ball", (), rows).row[:8])
    assert {c.kind for c in large.search(Query(extent_m=(0.3, 0.3, 0.3), kind="ball"), 20).cards} == {"ball"}
    assert len(large.search(Query(extent_m=(0.3, 0.3, 0.3)), tag="no-such-tag")) == 0


def test_a_lost_or_damaged_file_is_built_again(grown, monkeypatch):
    monkeypatch.setattr(search_index, "EXACT_BELOW", 1000)
    with open_registry(grown) as registry:
        folder = registry.index.build()
        next(folder.glob("lists.faiss")).write_bytes(b"damaged")
    with open_registry(grown) as registry:
        query = queries(registry, 1)[0]
        first = registry.search(query)
        assert registry.index.is_exact  # meanwhile every card is compared
        registry.index._builder.join(60.0)
        assert registry.search(query).cards[0] == first.cards[0]
        assert not registry.index.is_exact
    shutil.rmtree(folder.parent)
    with open_registry(grown) as registry:
        assert registry.search(query).cards[0] == first.cards[0]
        registry.index._builder.join(60.0)


def test_garbage_is_collected_only_when_asked_and_keeps_what_is_named(address, cat_card):
    with open_registry(address) as registry:
        grow(registry, 10)
        for number in range(5):
            registry.publish(Cat(cat_card.replace(provenance=str(number), parameters=tuple(
                p.__class__(p.name, p.mean * (1 + number), p.std, p.unit, p.transform) for p in cat_card.parameters
            ))))  # fmt: skip
        registry.set_alias("cat/test-cat", "champion", 2)
        before = statistics(registry)
        collected = collect_garbage(registry, keep_versions=1)
        assert (collected.versions, collected.blobs) == (3, 3)
        assert registry.versions("cat/test-cat") == [2, 5]
        assert statistics(registry)["blob_bytes"] == before["blob_bytes"] - collected.bytes
        assert registry.fetch("cat/test-cat", 2).card.provenance == "1"
        assert verify(registry).findings == ()
        assert collect_garbage(registry).versions == 0
        registry.publish(Cat(cat_card))
        assert registry.versions("cat/test-cat") == [2, 5, 6]
        assert verify(registry).findings == ()
