"""Whatever is sent to the service, it refuses what it does not take, stores nothing of it, and does not grow."""

from __future__ import annotations

import gc
import resource

import httpx
import numpy as np
import pytest

from tests.registry.serving import TOKEN, Running
from worldsim.evaluation.registry_hostile import attack
from worldsim.registry import open_registry
from worldsim.registry.gateway import Limits
from worldsim.registry.maintenance import verify


@pytest.fixture
def http():
    with open_registry("builtin") as registry:
        service = Running(registry, limits=Limits(requests_per_s=1e6, burst=10**6))
        try:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            with httpx.Client(base_url=service.url, headers=headers, timeout=30.0, trust_env=False) as client:
                yield client, registry
        finally:
            service.stop()


def test_every_kind_of_hostile_request_is_refused_and_nothing_is_stored(http, cat_card):
    client, registry = http
    before = registry.cards()
    tally = attack(client, cat_card, np.random.default_rng(0), 1)
    assert tally.faults == {}
    assert tally.refused == tally.sent > 100
    assert registry.cards() == before
    assert verify(registry).findings == ()


def test_hostile_requests_leave_no_memory_behind(http, cat_card):
    """The largest memory stays what it was after two rounds; to keep the long bodies would take 20 MB a round."""
    client, _ = http
    rng = np.random.default_rng(1)
    attack(client, cat_card, rng, 2)
    gc.collect()
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    attack(client, cat_card, rng, 4)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 40_000


def test_a_refusal_does_not_repeat_what_was_sent(http):
    client, _ = http
    answer = client.post("/v1/search", json={"kind": "x" * 10**6})
    assert answer.status_code == 422
    assert len(answer.content) < 1000
    assert "kind" in answer.json()["detail"]


def test_unknown_methods_are_counted_as_one(http):
    client, _ = http
    for number in range(20):
        client.request(f"METHOD{number}", "/v1/models")
    text = client.get("/metrics").text
    assert 'method="(other)"' in text
    assert "METHOD" not in text


@pytest.mark.parametrize("wanted", ["bytes=" + "9" * 5000 + "-", "bytes=-5", "bytes=0-1,3-4", "bytes=a-b", "lines=1-2"])
def test_a_range_of_another_form_is_ignored(http, wanted):
    client, registry = http
    card, data = registry.fetch_bytes(registry.cards()[0].model_id)
    answer = client.get(f"/v1/models/{card.model_id}/model", headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (200, data)
