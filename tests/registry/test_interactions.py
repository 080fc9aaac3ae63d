"""Kinds of interaction in a registry: the promises of object models, kept for them too."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import sqlalchemy as sa
from safetensors.numpy import save
from typer.testing import CliRunner

from tests.graph.kind_scenes import readings
from worldsim.commands.registry import app
from worldsim.contracts.radial_basis import TERMS
from worldsim.errors import CardError, ConfigurationError, IntegrityError, ModelNotFoundError, PluginError, StorageError
from worldsim.interactions.opened_radial import OpenedRadial
from worldsim.models.cat import Cat
from worldsim.registry import load_interaction, open_registry, save_interaction
from worldsim.registry.database import interactions, meta
from worldsim.registry.interaction_artefact import interaction_bytes
from worldsim.registry.interaction_cards import dump_interaction, interaction_from_json, interaction_to_json
from worldsim.registry.maintenance import collect_garbage, statistics, verify
from worldsim.registry.portable import export_models, import_models
from worldsim.types import ClassPair, Evidence, InteractionCard, InteractionQuery

SECOND_SCENE = """
import json, sys
from tests.graph.kind_scenes import frames_until_known, readings
from worldsim.graph.opened_cards import query_of
from worldsim.registry import open_registry

with open_registry(sys.argv[1]) as registry:
    *_, alone = readings(3, 12, [])
    law = alone.cards[0]
    import torch
    question = query_of(torch.tensor(law.mean), torch.tensor(law.covariance), ("crate", "worker"))
    found = registry.interactions.search(question)
    kind = registry.interactions.fetch(found.cards[0].model_id)
*_, last = readings(3, 12, [kind])
print(json.dumps({
    "kind": kind.kind, "candidates": [card.model_id for card in found.cards], "distances": found.distances,
    "right": last.right, "opened": len(last.cards), "frames": frames_until_known(3, [kind], 12),
}))
"""


@pytest.fixture
def card() -> InteractionCard:
    """A card that nothing is wrong with."""
    return InteractionCard(
        model_id="opened/pull-r1.0-abcdef",
        version=0,
        kind="pull-r1.0-abcdef",
        family="radial",
        terms=TERMS,
        mean=(2.0, -1.0, 0.0, 0.0),
        covariance=tuple(tuple(0.01 if i == j else 0.001 for j in range(4)) for i in range(4)),
        strength_std=0.05,
        reach_m=20.0,
        seen_m=(0.3, 2.5),
        pairs=(ClassPair("crate", "worker", 4),),
        provenance="Written for a test.",
        tags=("opened",),
        evidence=Evidence(30, 120.0, "a test"),
    )


def other(card: InteractionCard, name: str, mean: tuple[float, ...]) -> OpenedRadial:
    return OpenedRadial(card.replace(model_id=f"opened/{name}", kind=name, mean=mean, pairs=()))


def test_what_is_published_is_fetched_as_it_was(any_registry, card):
    shelf = any_registry.interactions
    assert shelf.publish(OpenedRadial(card)) == "opened/pull-r1.0-abcdef@1"
    assert shelf.publish(OpenedRadial(card)) == "opened/pull-r1.0-abcdef@1"  # repeated
    assert shelf.publish(OpenedRadial(card.replace(provenance="second"))) == "opened/pull-r1.0-abcdef@2"
    first = shelf.fetch(card.model_id, 1).card
    assert first.replace(version=0, sha256="") == card
    assert shelf.fetch(card.model_id).card.provenance == "second"
    assert shelf.versions(card.model_id) == [1, 2]
    assert [c.version for c in shelf.cards()] == [2]
    assert len(shelf) == 1
    assert len(any_registry) == 0  # they are no object models
    with pytest.raises(ModelNotFoundError, match="no interaction"):
        shelf.fetch("opened/none")


def test_a_search_finds_the_law_and_where_it_was_met(any_registry, card):
    shelf = any_registry.interactions
    shelf.publish(OpenedRadial(card))
    shelf.publish(other(card, "push", (0.0, 0.0, 0.0, -1.0)))
    shelf.publish(other(card, "twice", (4.0, -2.0, 0.0, 0.0)))
    seen = InteractionQuery(TERMS, (2.05, -1.02, 0.01, 0.0), card.covariance)
    found = shelf.search(seen)
    assert [c.kind for c in found.cards] == [card.kind, "twice", "push"]
    assert found.distances[0] < 2.0 < found.distances[1]
    assert [c.kind for c in shelf.search(InteractionQuery(between=("worker", "crate")), 1).cards] == [card.kind]
    assert [c.kind for c in shelf.search(InteractionQuery(kind="push")).cards] == ["push"]
    assert shelf.search(InteractionQuery(exclude=frozenset({card.model_id})), 1, tag="opened").cards[0].kind == "push"
    for asked in (shelf.search(seen, tag="none of these").cards, shelf.cards("none of these")):
        assert list(asked) == []
    assert shelf.search(InteractionQuery(("r",), (1.0,), ((1.0,),))).cards == ()
    with pytest.raises(CardError, match="positive definite"):
        shelf.search(InteractionQuery(("r",), (1.0,), ((-1.0,),)))
    with pytest.raises(ConfigurationError, match="expected 1 to 64"):
        shelf.search(seen, 65)


def test_a_card_whose_text_was_changed_is_read_by_nobody(any_registry, card, tmp_path):
    any_registry.interactions.publish(OpenedRadial(card))
    with any_registry.database.writing() as connection:
        connection.execute(interactions.update().values(body=sa.func.replace(interactions.c.body, "mean", "maen")))
    reads = (
        any_registry.interactions.cards,
        lambda: any_registry.interactions.fetch(card.model_id),
        lambda: any_registry.interactions.search(InteractionQuery()),
        lambda: export_models(any_registry, tmp_path / "out"),
    )
    for read in reads:
        with pytest.raises(IntegrityError, match="is damaged"):
            read()


def test_a_folder_brings_it_to_another_machine(tmp_path, card):
    folder = save_interaction(OpenedRadial(card), tmp_path / "kind")
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert "met between: crate and worker (4)" in (folder / "README.md").read_text()
    assert load_interaction(folder).card.mean == card.mean
    (folder / "model.safetensors").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(IntegrityError, match="sha256"):
        load_interaction(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mean": [1.0, 2.0]}, "expected one number of all"),
        ({"covariance": [[1.0, 0.0, 0.0, 0.0]] * 4}, "covariance is not"),
        ({"covariance": [[-1.0 * (i == j) for j in range(4)] for i in range(4)]}, "not positive definite"),
        ({"mean": [1e300, 0.0, 0.0, 0.0]}, "mean"),
        ({"kind": "../../etc"}, "kind"),
        ({"model_id": "Opened/X"}, "model_id"),
        ({"seen_m": [2.0, 1.0]}, "least distance first"),
        ({"strength_std": -0.1}, "strength_std"),
        ({"terms": ["__import__('os')"] * 4}, "terms"),
        ({"pairs": [{"source": "a", "target": "b", "count": 0}]}, "count"),
        ({"code": "print(1)"}, "code"),
        ({"format": "worldsim-model-card/1"}, "format"),
    ],
)
def test_a_hostile_card_is_refused_by_the_field(card, change, said):
    document = json.loads(interaction_to_json(card)) | change
    with pytest.raises(CardError, match=said):
        interaction_from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "null", "[" * 100_000, '{"mean": NaN}', '"' + "x" * 10**6 + '"'])
def test_what_is_no_card_is_refused(text):
    with pytest.raises(CardError):
        interaction_from_json(text)


def test_hostile_bytes_are_refused_and_nothing_is_stored(registry, card):
    good = interaction_bytes(card)
    bad = {
        "another law": interaction_bytes(card.replace(mean=(3.0, 0.0, 0.0, 0.0))),
        "a pickle": b"\x80\x04\x95" + bytes(64),
        "cut off": good[:-8],
        "one more tensor": save({"mean": np.zeros(4), "more": np.zeros(1)}),
        "nothing": b"",
    }
    for data in bad.values():
        with pytest.raises(CardError):
            registry.interactions.publish_bytes(card, data)
    with pytest.raises(PluginError, match="neural"):
        registry.interactions.publish_bytes(card.replace(family="neural"), good)
    with pytest.raises(CardError, match="expected 'radial'"):
        registry.interactions.publish_bytes(card.replace(terms=("a", "b", "c", "d")), good)
    assert len(registry.interactions) == 0
    assert verify(registry).findings == ()


def test_a_registry_of_the_first_format_is_brought_up_to_date(any_address, card, cat_card):
    with open_registry(any_address) as old:
        old.publish(Cat(cat_card))
        with old.database.writing() as connection:
            interactions.drop(connection)
            connection.execute(meta.update().where(meta.c.key == "format").values(value="1"))
    with open_registry(any_address) as registry:
        assert registry.fetch("cat/test-cat").card.version == 1
        registry.interactions.publish(OpenedRadial(card))
    with open_registry(any_address) as again:
        assert again.interactions.fetch(card.model_id).kind == card.kind
        with again.database.writing() as connection:
            assert connection.execute(sa.select(meta.c.value).where(meta.c.key == "format")).scalar() == "2"
            connection.execute(meta.update().where(meta.c.key == "format").values(value="3"))
    with pytest.raises(StorageError, match="has format 3"):
        open_registry(any_address)


def test_clearing_away_and_verifying_know_of_them(any_registry, card, cat_card):
    any_registry.publish(Cat(cat_card))
    any_registry.interactions.publish(OpenedRadial(card))
    assert verify(any_registry).findings == ()
    assert verify(any_registry).versions == 2
    assert collect_garbage(any_registry).blobs == 0
    assert statistics(any_registry)["interactions"] == 1
    assert any_registry.interactions.fetch(card.model_id).kind == card.kind
    with any_registry.database.writing() as connection:
        connection.execute(interactions.update().values(body=dump_interaction(card)))
    assert [finding.what for finding in verify(any_registry).findings] == ["interaction"]
    with pytest.raises(IntegrityError, match="damaged"):
        any_registry.interactions.fetch(card.model_id)


def test_they_are_counted_and_verified_in_memory_too(builtin, card):
    builtin.interactions.publish(OpenedRadial(card))
    assert statistics(builtin)["interactions"] == 1
    assert verify(builtin).findings == ()
    assert collect_garbage(builtin).blobs == 0
    assert len(builtin.interactions) == 1


@pytest.mark.parametrize("name", ["all.tar.gz", "folder"])
def test_they_travel_in_an_export(tmp_path, registry, builtin, card, cat_card, name):
    registry.publish(Cat(cat_card))
    registry.interactions.publish(OpenedRadial(card))
    registry.interactions.publish(OpenedRadial(card.replace(provenance="second")))
    export_models(registry, tmp_path / name)
    done = import_models(builtin, tmp_path / name)
    assert (done.stored, done.skipped) == (3, 0)
    assert builtin.interactions.versions(card.model_id) == [1, 2]
    assert import_models(builtin, tmp_path / name).skipped == 3
    with open_registry("builtin") as third:
        third.interactions.publish(OpenedRadial(card.replace(provenance="another")))
        with pytest.raises(ConfigurationError, match="renumber"):
            import_models(third, tmp_path / name)
        assert third.versions("cat/test-cat") == []  # nothing was imported
        renumbered = import_models(third, tmp_path / name, renumber=True).renumbered
        assert renumbered == {f"interaction {card.model_id}@1": f"{card.model_id}@3"}
    export_models(registry, tmp_path / f"one-{name}", [card.model_id])
    with open_registry("builtin") as fourth:
        assert import_models(fourth, tmp_path / f"one-{name}").stored == 2


def test_the_commands_publish_find_and_fetch_them(tmp_path, address, card):
    folder = save_interaction(OpenedRadial(card), tmp_path / "kind")
    run, at = CliRunner().invoke, ["--registry", address, "--json"]
    done = run(app, ["publish", str(folder), *at])
    told = {"published": f"{card.model_id}@1", "registry": address}
    assert json.loads(done.stdout) == told | {"new": True}, done.output
    assert json.loads(run(app, ["publish", str(folder), *at]).stdout) == told | {"new": False}
    found = json.loads(run(app, ["kinds", "--between", "worker,crate", *at]).stdout)["candidates"]
    assert [one["model_id"] for one in found] == [card.model_id]
    like = json.loads(run(app, ["kinds", "--like", card.model_id, *at]).stdout)["candidates"]
    assert like == []
    fetched = run(app, ["fetch", card.model_id, *at, "--out", str(tmp_path / "again")])
    assert json.loads(fetched.stdout)["card"]["kind"] == card.kind
    assert load_interaction(tmp_path / "again").card.mean == card.mean
    assert run(app, ["fetch", "opened/none", *at]).exit_code != 0


def test_a_scene_in_another_process_is_explained_by_what_the_first_one_opened(address, tmp_path, monkeypatch):
    pytest.importorskip("fastapi", reason="the service needs worldsim-lab[server]")
    from tests.registry.serving import TOKEN, Served
    from worldsim.registry import HttpRegistry
    from worldsim.registry.blob_cache import BlobCache

    *_, first = readings(1, 15, [])
    assert len(first.cards) == 1
    service = Served(address)
    try:
        with HttpRegistry(service.url, token=TOKEN, cache=BlobCache(tmp_path / "first")) as registry:
            name = registry.interactions.publish(OpenedRadial(first.cards[0]))
            registry.interactions.publish(other(first.cards[0], "stranger", (0.0, 0.0, 0.0, -3.0)))
        monkeypatch.setenv("WORLDSIM_CACHE", str(tmp_path / "second"))
        done = subprocess.run(
            [sys.executable, "-c", SECOND_SCENE, service.url], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    finally:
        service.stop()
    said = json.loads(done.stdout)
    assert f"opened/{said['kind']}@1" == name
    assert said["candidates"] == [first.cards[0].model_id, "opened/stranger"]
    assert said["right"]
    assert said["opened"] == 0
    alone = [frames for frames, one in enumerate(readings(3, 12, []), start=2) if not one.right]
    assert said["frames"] <= 2 < max(alone)  # the fetched kind is recognised at once; opening it took longer


def test_the_service_refuses_what_is_hostile_and_the_client_keeps_what_it_fetched(registry, card, tmp_path):
    pytest.importorskip("fastapi", reason="the service needs worldsim-lab[server]")
    import httpx

    from tests.registry.serving import TOKEN, Running
    from worldsim.registry import HttpRegistry
    from worldsim.registry.blob_cache import BlobCache

    cache = BlobCache(tmp_path / "cache")
    service = Running(registry)
    try:
        with HttpRegistry(service.url, token=TOKEN, cache=cache) as client:
            shelf = client.interactions
            assert shelf.publish(OpenedRadial(card)) == f"{card.model_id}@1"
            assert shelf.fetch(card.model_id).kind == card.kind
            assert shelf.versions(card.model_id) == [1]
            assert [c.kind for c in shelf.cards("opened")] == [card.kind]
            with pytest.raises(ModelNotFoundError):
                shelf.fetch("opened/none")
            with pytest.raises(CardError, match="positive definite"):
                shelf.search(InteractionQuery(("r",), (1.0,), ((-1.0,),)))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for body in (b"", b"\xff" * 64, (10**6).to_bytes(8, "little") + b"{}", bytes(300_000)):
            answer = httpx.post(f"{service.url}/v1/interactions", content=body, headers=headers, trust_env=False)
            assert answer.status_code in (413, 422)
        assert httpx.post(f"{service.url}/v1/interactions", content=b"", trust_env=False).status_code == 401
        assert len(registry.interactions) == 1
    finally:
        service.stop()
    with HttpRegistry(service.url, cache=cache, offline=True) as away:
        assert away.interactions.fetch(card.model_id).card.mean == card.mean
        with pytest.raises(StorageError):
            away.interactions.fetch("opened/none")
