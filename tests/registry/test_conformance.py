"""Every registry passes the public kit, and the kit fails one that does not keep the contract."""

from __future__ import annotations

import pytest

from tests.registry.serving import TOKEN, Running
from worldsim.contracts import ObjectModel
from worldsim.errors import PluginError
from worldsim.models.cat import Cat
from worldsim.registry import HttpRegistry, StoredRegistry, open_registry
from worldsim.registry.blob_cache import BlobCache
from worldsim.testing.registry_conformance import check_registry
from worldsim.types import Query


@pytest.fixture
def models(cat_card, builtin) -> list[ObjectModel]:
    dog = builtin.fetch(builtin.search(Query(kind="dog")).cards[0].model_id)
    other = dog.card.replace(model_id="dog/test-dog", version=0, tags=("test", "second"), sha256="")
    return [Cat(cat_card), type(dog)(other)]


def test_the_built_in_registry_conforms(builtin, models):
    check_registry(builtin, models)


def test_an_empty_registry_in_memory_conforms(models):
    with open_registry("sqlite://") as registry:
        check_registry(registry, models)


def test_a_registry_in_a_file_conforms(registry, models):
    check_registry(registry, models)


def test_a_registry_with_its_bytes_at_a_url_conforms(address, tmp_path, models):
    with open_registry(f"{address}?blobs=file://{tmp_path / 'elsewhere'}") as registry:
        check_registry(registry, models)


def test_the_client_of_a_served_registry_conforms(registry, models, tmp_path):
    service = Running(registry)
    try:
        with HttpRegistry(service.url, token=TOKEN, cache=BlobCache(tmp_path / "cache")) as client:
            check_registry(client, models)
    finally:
        service.stop()


class Forgetful(StoredRegistry):
    """Overwrites: whatever version is asked for, the newest comes."""

    def fetch(self, model_id: str, version: int | None = None) -> ObjectModel:
        return super().fetch(model_id)


class Unsorted(StoredRegistry):
    """Brings the farthest first."""

    def search(self, query: Query, k: int = 8, **filters):
        found = super().search(query, k, **filters)
        return type(found)(found.cards[::-1], found.distances[::-1])


@pytest.mark.parametrize(
    ("broken", "said"),
    [(Forgetful, "fetch returns another card"), (Unsorted, "brings another one first|nearest first")],
)
def test_the_kit_fails_a_registry_that_does_not_conform(registry, models, broken, said):
    wrong = broken(registry.database, registry.blobs)
    with pytest.raises(PluginError, match=said):
        check_registry(wrong, models)
