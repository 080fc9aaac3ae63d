"""Proves that a registry keeps its contract.

A registry author's test::

    def test_my_registry_conforms():
        check_registry(MyRegistry(), [first_model, second_model])
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Sequence

from worldsim.contracts.object_model import ObjectModel
from worldsim.contracts.registry import Registry
from worldsim.errors import CardError, ModelNotFoundError, PluginError, WorldsimError
from worldsim.types.card import ModelCard
from worldsim.types.query import Candidates, Query

__all__ = ["check_registry"]

_THREADS, _EACH = 3, 3


def check_registry(registry: Registry, models: Sequence[ObjectModel]) -> None:
    """Publish `models` into `registry` and check everything that the loop and other robots rely on.

    Checked: versions count up and are never overwritten; what was published is fetched equal, by id and by version,
    is listed once, and is found by its own description; a search is ordered, finite, no longer than asked, repeatable,
    and honours its filters; what is unknown or malformed is a typed error and changes nothing; threads may share it.

    Args:
        registry: to be checked; it may hold other models already, and keeps those that are published here.
        models: at least two, of different ids that the registry does not hold yet, with descriptors.

    Raises:
        PluginError: the contract is broken; the message says where.
    """
    _require(registry, len({m.card.model_id for m in models}) >= 2, "needs two models of different ids to be checked")
    for model in models:
        _check_versions(registry, model)
    _check_listing(registry, models)
    for model in models:
        _check_search(registry, model.card)
    _check_refusals(registry, models[0])
    _check_threads(registry, models[0])


def _check_versions(registry: Registry, model: ObjectModel) -> None:
    card, before = model.card, len(registry)
    _expect(
        registry, ModelNotFoundError, f"fetching {card.model_id!r} too early", lambda: registry.fetch(card.model_id)
    )
    name = registry.publish(model)
    _require(registry, name == f"{card.model_id}@1", f"publish returned {name!r} for a first version")
    _require(registry, len(registry) == before + 1, f"len is {len(registry)} after a first version, was {before}")
    second = type(model)(card.replace(provenance=f"{card.provenance} Again."))
    name = registry.publish(second)
    _require(registry, name == f"{card.model_id}@2", f"publish returned {name!r} for a second version")
    _require(registry, len(registry) == before + 1, "len counts versions, expected models")
    for version, sent in ((1, card), (2, second.card), (None, second.card)):
        found = registry.fetch(card.model_id, version)
        what = f"{card.model_id!r}, version {version}"
        _require(registry, type(found) is type(model), f"fetch returns a {type(found).__name__} for {what}")
        _require(registry, _content(found.card) == _content(sent), f"fetch returns another card for {what}")
        _require(
            registry, found.card.version == (version or 2), f"fetch returns version {found.card.version} for {what}"
        )
        digest = re.fullmatch("[0-9a-f]{64}", found.card.sha256)
        _require(registry, digest is not None, f"fetch returns a card without a checksum for {what}")


def _check_listing(registry: Registry, models: Sequence[ObjectModel]) -> None:
    listed = registry.cards()
    ids = [card.model_id for card in listed]
    _require(registry, ids == sorted(set(ids)), "cards() is not ordered by id, or lists one twice")
    _require(registry, len(ids) == len(registry), f"cards() lists {len(ids)} models, len is {len(registry)}")
    newest = {card.model_id: card.version for card in listed}
    for model in models:
        _require(registry, newest.get(model.card.model_id) == 2, f"cards() lists no version 2 of {model!r}")
    for tag in {tag for model in models for tag in model.card.tags}:
        wanted = [card.model_id for card in listed if tag in card.tags]
        got = [card.model_id for card in registry.cards(tag=tag)]
        _require(registry, got == wanted, f"cards(tag={tag!r}) lists {got[:5]}, expected {wanted[:5]}")
    _require(
        registry, registry.cards(tag="no-card-has-this-tag") == [], "cards() of a tag that is not there is not empty"
    )


def _check_search(registry: Registry, card: ModelCard) -> None:
    query = Query(extent_m=card.shape.extent_m, appearance=card.descriptor.appearance, motion=card.descriptor.motion)
    found = registry.search(query, 8)
    _check_candidates(registry, found, 8)
    first = found.cards[0] if len(found) else None
    like = first is not None and (first.shape.extent_m, first.descriptor) == (card.shape.extent_m, card.descriptor)
    _require(registry, like, f"search by the description of {card.model_id!r} brings another one first")
    _require(registry, registry.search(query, 8) == found, "the same search brings something else")
    _require(registry, len(registry.search(query, 1)) == 1, "search(k=1) does not bring one")
    for candidate in found.cards:
        fetched = registry.fetch(candidate.model_id, candidate.version).card
        _require(registry, fetched == candidate, f"search and fetch return different cards of {candidate.model_id!r}")
        newest = registry.fetch(candidate.model_id).card.version
        _require(registry, newest == candidate.version, f"search brings an old version of {candidate.model_id!r}")
    without = Query(
        query.extent_m, appearance=query.appearance, motion=query.motion, exclude=frozenset({card.model_id})
    )
    kept = registry.search(without, 8)
    _check_candidates(registry, kept, 8)
    _require(registry, card.model_id not in [c.model_id for c in kept.cards], "search brings what was excluded")
    of_kind = registry.search(Query(query.extent_m, kind=card.kind), 8)
    _check_candidates(registry, of_kind, 8)
    kinds = {c.kind for c in of_kind.cards}
    _require(registry, kinds == {card.kind}, f"search of kind {card.kind!r} brings {sorted(kinds)}")
    nobody = registry.search(Query(query.extent_m, kind="no-card-is-of-this-kind"), 8)
    _require(registry, len(nobody) == 0, "search of a kind that is not there is not empty")
    _check_candidates(registry, registry.search(Query(), 3), 3)


def _check_candidates(registry: Registry, found: Candidates, k: int) -> None:
    distances = list(found.distances)
    _require(registry, len(distances) == len(found.cards) <= k, f"search(k={k}) brings {len(found.cards)} cards")
    _require(registry, all(math.isfinite(d) for d in distances), "search brings a distance that is not finite")
    _require(registry, distances == sorted(distances), "search does not bring the nearest first")
    ids = [card.model_id for card in found.cards]
    _require(registry, len(set(ids)) == len(ids), "search brings a model twice")


def _check_refusals(registry: Registry, model: ObjectModel) -> None:
    card, before = model.card, registry.cards()
    _expect(registry, ModelNotFoundError, "an unknown id", lambda: registry.fetch(f"{card.model_id}-nobody"))
    _expect(registry, ModelNotFoundError, "an unknown version", lambda: registry.fetch(card.model_id, 999))
    for name in ("../../etc/passwd", "a/b/c", "", "x" * 10**6, "a\x00/b", "A/B", "%2e%2e/x"):
        _expect(registry, WorldsimError, f"fetching {name[:20]!r}", lambda n=name: registry.fetch(n))  # type: ignore[misc]
    kind = type(model)
    for what, broken in (
        ("a model id that climbs", card.replace(model_id="../../etc/passwd")),
        ("a kind that is no word", card.replace(kind="no word")),
        ("a very long text", card.replace(provenance="x" * 10**6)),
        ("a size that is not finite", card.replace(shape=type(card.shape)("box", (math.nan, 1.0, 1.0), (0.1,) * 3))),
    ):
        _expect(registry, CardError, f"publishing {what}", lambda c=broken: registry.publish(kind(c)))  # type: ignore[misc]

    class Stranger(kind):  # type: ignore[misc]
        family = "no-plug-in-has-this-name"

    stranger = Stranger(card.replace(family=Stranger.family))
    _expect(registry, PluginError, "publishing a family outside the plug-in table", lambda: registry.publish(stranger))
    _require(registry, registry.cards() == before, "a refused publish has changed what cards() lists")


def _check_threads(registry: Registry, model: ObjectModel) -> None:
    names: list[str] = []
    failures: list[BaseException] = []
    first = registry.fetch(model.card.model_id).card.version + 1

    def work(thread: int) -> None:
        try:
            for number in range(_EACH):
                provenance = f"{model.card.provenance} By thread {thread}, number {number}."
                names.append(registry.publish(type(model)(model.card.replace(provenance=provenance))))
                registry.search(Query(model.card.shape.extent_m), 4)
                registry.fetch(model.card.model_id)
        except BaseException as error:  # noqa: BLE001 - told by the thread that checks
            failures.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _require(registry, not failures, f"threads that share it meet {failures[:1]!r}")
    wanted = {f"{model.card.model_id}@{version}" for version in range(first, first + _THREADS * _EACH)}
    _require(registry, set(names) == wanted, f"{_THREADS} threads at once published {sorted(names)}")


def _content(card: ModelCard) -> ModelCard:
    """Return the card without what the registry gives it."""
    return card.replace(version=0, sha256="")


def _expect(registry: Registry, kind: type[Exception], what: str, call: Callable[[], object]) -> None:
    try:
        call()
    except kind:
        return
    except Exception as error:
        raise PluginError(
            f"{registry!r}: {what} is a {type(error).__name__} ({error}), expected {kind.__name__}."
        ) from error
    raise PluginError(f"{registry!r}: {what} is no error, expected {kind.__name__}.")


def _require(registry: Registry, holds: bool, what: str) -> None:
    if not holds:
        raise PluginError(f"{registry!r}: {what}.")
