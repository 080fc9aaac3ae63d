"""A client's cache keeps registries apart: what one said is never taken for another's word."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import pytest

pytest.importorskip("fastapi", reason="the service needs worldsim-lab[server]")
from tests.registry.serving import TOKEN, Running
from tests.registry.test_interactions import card as kind_card  # noqa: F401 - a fixture
from worldsim.errors import IntegrityError, StorageError
from worldsim.interactions.opened_radial import OpenedRadial
from worldsim.models.cat import Cat
from worldsim.registry import HttpRegistry, open_registry
from worldsim.registry.blob_cache import BlobCache
from worldsim.registry.cards import dump_card
from worldsim.registry.identity import IDENTITY_HEADER


def served_with(folder: Path, provenance: str, cat_card, kind_card, port: int = 0):  # noqa: F811
    """Serve a new registry that holds one cat and one kind, told apart by their provenance alone."""
    registry = open_registry(f"sqlite:///{folder / 'registry.db'}")
    registry.publish(Cat(cat_card.replace(provenance=provenance)))
    registry.interactions.publish(OpenedRadial(kind_card.replace(provenance=provenance)))
    return registry, Running(registry, port)


def said(client: HttpRegistry, kind_card) -> set[str]:  # noqa: F811
    """Return the provenance of version 1 of either, and of the newest."""
    return {
        client.fetch("cat/test-cat", 1).card.provenance,
        client.interactions.fetch(kind_card.model_id, 1).card.provenance,
        client.fetch("cat/test-cat").card.provenance,
    }


def test_two_registries_share_a_cache_and_no_cards(tmp_path, cat_card, kind_card):  # noqa: F811
    cache = BlobCache(tmp_path / "cache")
    urls = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        registry, service = served_with(tmp_path / name, name, cat_card, kind_card)
        urls.append(service.url)
        try:
            with HttpRegistry(service.url, cache=cache) as client:
                assert said(client, kind_card) == {name}
                assert said(client, kind_card) == {name}  # from the cache, now that it has said who it is
        finally:
            service.stop()
            registry.close()
    if urls[0] != urls[1]:  # the second may have been given the port that the first had
        with HttpRegistry(urls[0], cache=cache, offline=True) as away:
            assert said(away, kind_card) == {"first"}
    with HttpRegistry(urls[1], cache=cache, offline=True) as away:
        assert said(away, kind_card) == {"second"}


@pytest.mark.parametrize("how", ["the same client", "a new client"])
def test_a_registry_that_was_made_anew_behind_its_url_is_another(tmp_path, cat_card, kind_card, how):  # noqa: F811
    folder, cache = tmp_path / "registry", BlobCache(tmp_path / "cache")
    folder.mkdir()
    registry, service = served_with(folder, "old", cat_card, kind_card)
    client = HttpRegistry(service.url, cache=cache)
    try:
        client.interactions.fetch(kind_card.model_id)
        assert client.fetch("cat/test-cat").card.provenance == "old"
        service.stop()
        registry.close()
        shutil.rmtree(folder)
        folder.mkdir()
        registry, service = served_with(folder, "new", cat_card, kind_card, service.port)
        if how == "a new client":
            client.close()
            client = HttpRegistry(service.url, cache=cache)
        else:
            client.ping()  # whatever it is asked, the answer says who answers
        assert said(client, kind_card) == {"new"}
    finally:
        client.close()
        service.stop()
        registry.close()
    with HttpRegistry(service.url, cache=cache, offline=True) as away:
        assert said(away, kind_card) == {"new"}


class Sender(httpx.BaseTransport):
    """A server that answers every question for a card with the one that it has, under any registry's name."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name

    def handle_request(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text=self.text, headers={IDENTITY_HEADER: self.name})


def test_a_server_that_takes_anothers_name_plants_no_card(registry, tmp_path, cat_card):
    cache = BlobCache(tmp_path / "cache")
    registry.publish(Cat(cat_card))
    planted = dump_card(registry.card("cat/test-cat").replace(provenance="planted"))
    service = Running(registry)
    try:
        name = registry.database.registry_id
        with HttpRegistry("http://bad", cache=cache, transport=Sender(planted, name)) as bad:
            assert bad.card("cat/test-cat", 1).provenance == "planted"
        with HttpRegistry(service.url, cache=cache) as good:
            good.ping()
            assert good.card("cat/test-cat", 1).provenance == cat_card.provenance
    finally:
        service.stop()


def test_a_card_that_was_not_asked_for_is_refused_and_not_kept(tmp_path, cat_card):
    text = dump_card(cat_card.replace(version=3))
    with HttpRegistry("http://bad", cache=BlobCache(tmp_path), transport=Sender(text, "bad")) as bad:
        for wanted in (("cat/other", None), ("cat/test-cat", 2)):
            with pytest.raises(IntegrityError, match=r"sent the card of cat/test-cat@3"):
                bad.card(*wanted)
    with HttpRegistry("http://bad", cache=BlobCache(tmp_path), offline=True) as away, pytest.raises(StorageError):
        away.card("cat/test-cat", 3)


def test_an_interaction_that_was_not_asked_for_is_refused(registry, tmp_path, kind_card):  # noqa: F811
    registry.interactions.publish(OpenedRadial(kind_card))
    service = Running(registry)
    try:
        answer = httpx.get(f"{service.url}/v1/interactions/{kind_card.model_id}", trust_env=False)
        text = json.dumps(answer.json())
        with (
            HttpRegistry("http://bad", token=TOKEN, cache=BlobCache(tmp_path), transport=Sender(text, "bad")) as bad,
            pytest.raises(IntegrityError, match="was asked for"),
        ):
            bad.interactions.fetch("opened/another")
    finally:
        service.stop()
