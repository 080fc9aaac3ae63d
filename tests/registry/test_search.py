from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from worldsim.errors import ConfigurationError
from worldsim.models.cat import Cat
from worldsim.registry import HttpRegistry, open_registry
from worldsim.registry.descriptor import card_vector, distances, query_vector
from worldsim.registry.maintenance import collect_garbage
from worldsim.registry.portable import export_models, import_models
from worldsim.types import ModelCard, Query, Shape

INTRUDERS = ("cat", "dog", "ball", "trolley")


def seen(card: ModelCard, rng: np.random.Generator, **changes) -> Query:
    """What a noisy detector would say of an instance of `card`."""
    extent = np.asarray(card.shape.extent_m) * np.exp(0.06 * rng.standard_normal(3))
    motion = {name: max(value + 0.2 * rng.standard_normal(), 0.0) for name, value in card.descriptor.motion.items()}
    look = card.descriptor.appearance
    if look is not None:
        look = tuple(np.asarray(look) + 0.03 * rng.standard_normal(len(look)))
    fields = {"extent_m": tuple(extent), "extent_std_m": tuple(0.04 * extent), "motion": motion, "appearance": look}
    return Query(**{**fields, **changes})


def test_at_least_300_cards_ship_and_they_pass_their_own_checks(builtin):
    shipped = builtin.cards()
    assert len(shipped) >= 320
    assert {builtin.fetch(card.model_id).card.family for card in shipped} >= {"cat", "dog", "rolling_ball", "trolley"}


def test_the_starter_set_is_one_card_a_kind(builtin):
    kinds = Counter(card.kind for card in builtin.cards(tag="starter"))
    assert set(kinds) == {
        *("wall", "shelf", "pillar", "station", "door_frame", "pallet", "crate", "parcel", "barrel", "door"),
        *("robot", "agv", "worker", "generic"),
    }
    assert set(kinds.values()) == {1}


def test_nothing_that_hovers_is_in_the_registry(builtin):
    for card in builtin.cards():
        assert "drone" not in f"{card.model_id} {card.kind} {' '.join(card.tags)}"
        assert card.descriptor.motion.get("height", 0.0) < 0.1


@pytest.mark.parametrize("kind", INTRUDERS)
def test_an_instance_finds_its_kind_first_and_other_kinds_beside_it(builtin, kind):
    rng = np.random.default_rng(0)
    loaded = frozenset(card.model_id for card in builtin.cards(tag="starter"))
    first = []
    for card in [c for c in builtin.cards() if c.kind == kind]:
        found = builtin.search(seen(card, rng, exclude=loaded))
        kinds = Counter(c.kind for c in found.cards)
        assert len(found) == 8
        assert kinds[kind] >= 3
        assert len(kinds) >= 2
        first.append(found.cards[0].kind == kind)
        assert loaded.isdisjoint(c.model_id for c in found.cards)
        assert list(found.distances) == sorted(found.distances)
    assert np.mean(first) >= 0.9  # sizes overlap between kinds: a tall trolley is a wheelchair's size


def test_near_twins_give_way_to_what_is_different(any_registry, cat_card):
    """Twelve copies of the nearest model and eight of other sizes, up to 24 % away: copies are no choices."""
    edges = np.asarray(cat_card.shape.extent_m)
    for number in range(20):
        factor = 1.0 if number < 12 else 1.0 + 0.02 * (number - 7) * (-1) ** number
        shape = Shape("box", tuple(edges * factor), cat_card.shape.extent_std_m)
        any_registry.publish(Cat(cat_card.replace(model_id=f"cat/c{number:02d}", shape=shape)))
    found = any_registry.search(Query(extent_m=cat_card.shape.extent_m, appearance=cat_card.descriptor.appearance))
    copies = [card for card in found.cards if int(card.model_id[-2:]) < 12]
    assert len(found) == 8
    assert 1 <= len(copies) <= 4
    assert found.cards[0] in copies


def test_the_same_query_gives_the_same_order(builtin):
    query = seen(builtin.cards()[50], np.random.default_rng(2))
    with open_registry("builtin") as other:
        assert builtin.search(query) == builtin.search(query) == other.search(query)


def test_a_query_may_lack_any_part(builtin):
    full = seen(next(c for c in builtin.cards() if c.kind == "dog"), np.random.default_rng(3))
    for lacking in ("extent_m", "appearance", "motion"):
        left = {name: getattr(full, name) for name in ("extent_m", "appearance", "motion") if name != lacking}
        assert len(builtin.search(Query(**left))) == 8
    assert len(builtin.search(Query())) == 8


def test_filters_hold(builtin):
    assert {c.kind for c in builtin.search(Query(extent_m=(0.4, 0.4, 0.4), kind="ball"), 20).cards} == {"ball"}
    assert len(builtin.search(Query(kind="no-such-kind"))) == 0
    assert all("starter" in c.tags for c in builtin.search(Query(extent_m=(1.0, 1.0, 1.0)), tag="starter").cards)
    assert len(builtin.search(Query(), licence="GPL-3.0-only")) == 0


@pytest.mark.parametrize("k", [0, -1, 65])
def test_a_senseless_k_is_refused(builtin, k):
    with pytest.raises(ConfigurationError, match="expected 1 to 64"):
        builtin.search(Query(), k)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"extent_m": (np.nan, 1.0, 1.0)}, r"extent_m is \(nan, 1\.0, 1\.0\), expected three edges in m"),
        ({"extent_m": (0.0, 1.0, 1.0)}, "extent_m is"),
        ({"extent_m": (1.0, 1.0)}, "extent_m is"),
        ({"extent_m": 1.0}, "extent_m is"),
        ({"extent_m": ("a", 1.0, 1.0)}, "extent_m is"),
        ({"extent_m": (1.0, 1.0, 1.0), "extent_std_m": (-1.0, 0.0, 0.0)}, "extent_std_m is"),
        ({"appearance": (1.0, 2.0)}, r"appearance is \(1\.0, 2\.0\), expected 12 finite numbers"),
        ({"appearance": (0.5,) * 12, "appearance_std": (np.inf,) * 12}, "appearance_std is"),
        ({"motion": {"speed_mean": np.nan}}, "motion is"),
        ({"motion": {"speed_mean": "fast"}}, "motion is"),
        ({"channel_share": {"position": np.nan}}, "channel_share is"),
    ],
)
def test_a_query_whose_numbers_cannot_be_is_refused_by_every_registry(builtin, wrong, says):
    far = HttpRegistry("http://127.0.0.1:9")  # nobody listens: it is refused before anything is sent
    try:
        for registry in (builtin, far):
            with pytest.raises(ConfigurationError, match=says):
                registry.search(Query(**wrong))
    finally:
        far.close()


def test_a_distance_is_worked_by_hand(cat_card):
    """Equal but for a height of e times 0.3 m: z = 1 over sqrt(0.02^2/0.3^2 + 0.06^2), one of three shape numbers."""
    value, variance = card_vector(cat_card)
    query = query_vector(Query(extent_m=(0.45, 0.16, 0.3 * np.e)))
    spread = np.array([0.03 / 0.45, 0.01 / 0.16, 0.02 / 0.3]) ** 2 + 0.06**2
    expected = (1.0 / spread[2] + np.log(spread / 0.06**2).sum()) / 3.0
    assert distances(query, value[None], variance[None])[0] == pytest.approx(expected, rel=1e-5)  # float32


def test_which_way_a_thing_faces_does_not_change_its_shape(cat_card):
    turned = cat_card.shape.extent_m[1], cat_card.shape.extent_m[0], cat_card.shape.extent_m[2]
    np.testing.assert_array_equal(
        query_vector(Query(extent_m=turned)).value, query_vector(Query(extent_m=cat_card.shape.extent_m)).value
    )


def test_the_channels_of_the_surprise_move_the_weights():
    full = Query(extent_m=(1.0, 1.0, 1.0), appearance=tuple([0.0] * 12), motion={"speed_mean": 1.0})
    plain = query_vector(full).weights
    moved = query_vector(
        Query(extent_m=full.extent_m, appearance=full.appearance, motion=full.motion, channel_share={"position": 1.0})
    ).weights
    assert moved[2] > plain[2]
    assert moved.sum() == pytest.approx(plain.sum()) == pytest.approx(1.0)


def test_a_model_published_a_moment_ago_is_found_by_another_opening(any_address, cat_card):
    with open_registry(any_address) as one, open_registry(any_address) as other:
        query = Query(extent_m=cat_card.shape.extent_m)
        assert len(other.search(query)) == 0
        one.publish(Cat(cat_card))
        assert [c.model_id for c in other.search(query).cards] == ["cat/test-cat"]
        one.publish(Cat(cat_card.replace(provenance="second")))
        assert [(c.model_id, c.version) for c in other.search(query).cards] == [("cat/test-cat", 2)]


def test_a_model_published_twice_between_two_searches_is_found_once_and_as_its_newest(any_address, cat_card):
    with open_registry(any_address) as one, open_registry(any_address) as other:
        query = Query(extent_m=cat_card.shape.extent_m)
        one.publish(Cat(cat_card))
        assert [c.version for c in other.search(query).cards] == [1]
        for provenance in ("second", "third", "fourth"):
            one.publish(Cat(cat_card.replace(provenance=provenance)))
        for registry in (one, other):
            assert [(c.model_id, c.version) for c in registry.search(query).cards] == [("cat/test-cat", 4)]
            assert len(registry.index) == 1


def test_a_version_that_was_collected_before_it_was_seen_to_be_replaced_is_left_out(any_address, cat_card):
    query = Query(extent_m=cat_card.shape.extent_m)
    with open_registry(any_address) as one, open_registry(any_address) as other:
        one.publish(Cat(cat_card))
        assert len(other.search(query)) == 1
        for provenance in ("second", "third"):
            one.publish(Cat(cat_card.replace(provenance=provenance)))
        collect_garbage(one, keep_versions=1)
        found, models = other.search_models(query)
        assert [c.version for c in found.cards] == [m.card.version for m in models] == [3]
        assert len(found.distances) == len(other.search(query).distances) == len(other.bundle(query).distances) == 1


def test_a_filter_follows_what_is_published(any_registry, cat_card):
    query = Query(extent_m=cat_card.shape.extent_m)
    assert len(any_registry.search(query, tag="tame")) == 0
    any_registry.publish(Cat(cat_card.replace(tags=("tame",))))
    any_registry.publish(Cat(cat_card.replace(model_id="cat/wild", tags=("wild",), licence="CC0-1.0")))
    assert [c.model_id for c in any_registry.search(query, tag="tame").cards] == ["cat/test-cat"]
    assert [c.model_id for c in any_registry.search(query, licence="CC0-1.0").cards] == ["cat/wild"]
    assert len(any_registry.search(query, tag="tame", licence="CC0-1.0")) == 0
    any_registry.publish(Cat(cat_card.replace(tags=("old",))))  # the newest version alone counts
    assert len(any_registry.search(query, tag="tame")) == 0
    assert [c.version for c in any_registry.search(query, tag="old").cards] == [2]


def test_a_filter_follows_where_garbage_was_collected_meanwhile(any_registry, cat_card, tmp_path):
    for tag in ("old", "new"):
        any_registry.publish(Cat(cat_card.replace(tags=(tag,))))
    export = export_models(any_registry, tmp_path / "both.tar")
    collect_garbage(any_registry, keep_versions=1)
    import_models(any_registry, export.path)  # the old version lies in the last row now
    query = Query(extent_m=cat_card.shape.extent_m)
    assert len(any_registry.search(query, tag="old")) == len(any_registry.search(query, tag="tame")) == 0
    collect_garbage(any_registry, keep_versions=1)
    any_registry.publish(Cat(cat_card.replace(model_id="cat/tame", tags=("tame",))))
    assert len(any_registry.search(query, tag="old")) == 0
    assert [c.model_id for c in any_registry.search(query, tag="tame").cards] == ["cat/tame"]
