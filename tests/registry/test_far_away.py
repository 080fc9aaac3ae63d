"""A world model whose registry is on another machine: no step waits for it, and what it answers late is taken up."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

from tests.registry.serving import TOKEN, Served
from tests.small_world import Shelf, frames, model, world_model
from worldsim.contracts import ObjectModel
from worldsim.engine.enquiries import Answer, Enquiries, Receipt, look_up
from worldsim.errors import StorageError
from worldsim.loop import WorldModel
from worldsim.registry import HttpRegistry, open_registry
from worldsim.registry.blob_cache import BlobCache
from worldsim.types import Candidates, Event, EventKind, Query

STEP_S = 1.0  # far beyond a step on a busy machine, far below the 5 s that one attempt at a silent server takes
CAT = Query(extent_m=(0.45, 0.16, 0.30))


def of(events: list[Event], kind: EventKind) -> list[Event]:
    return [e for e in events if e.kind == kind]


class Far(Shelf):
    """A shelf that is far away: it answers while its gate is open, and says so when it has been asked."""

    remote = True

    def __init__(self, *models: ObjectModel) -> None:
        super().__init__(*models)
        self.gate, self.asked, self.away = threading.Event(), threading.Event(), False

    def search(self, query: Query, k: int = 8) -> Candidates:
        self.asked.set()
        assert self.gate.wait(30.0)
        if self.away:
            raise StorageError("nobody answers")
        return super().search(query, k)


def wait_for(enquiries: Enquiries) -> list[Answer | Receipt]:
    deadline = time.monotonic() + 30.0
    while not (came := enquiries.collect()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return came


def test_a_question_is_answered_in_the_background_and_asked_once():
    far = Far(model("cat"))
    enquiries = Enquiries(far)
    assert enquiries.ask(7, CAT, 8)
    assert not enquiries.ask(7, CAT, 8)
    assert enquiries.collect() == []
    far.gate.set()
    (answer,) = wait_for(enquiries)
    assert (answer.object_id, answer.query, answer.attempt) == (7, CAT, 1)
    assert [m.card.kind for m in answer.models] == ["cat"]
    assert enquiries.may_ask(7)


def test_a_question_with_numbers_that_cannot_be_is_a_question_without_an_answer():
    with open_registry("builtin") as registry:
        answer = look_up(registry, 7, Query(extent_m=(np.nan, 0.16, 0.30)), 8)
    assert answer.models == ()
    assert "extent_m is (nan, 0.16, 0.3)" in answer.away


def test_no_more_is_under_way_than_there_is_room_for():
    far = Far(model("cat"))
    enquiries = Enquiries(far, capacity=2)
    assert [enquiries.ask(i, CAT, 8) for i in range(4)] == [True, True, False, False]
    far.gate.set()
    wait_for(enquiries)
    assert enquiries.ask(3, CAT, 8)


def test_while_nobody_answers_the_pauses_grow():
    far = Far(model("cat"))
    far.away = True
    far.gate.set()
    enquiries = Enquiries(far, first_pause_s=0.05, longest_pause_s=0.4)
    pauses = []
    for attempt in range(1, 5):
        while not enquiries.ask(1, CAT, 8):
            time.sleep(0.002)
        (answer,) = wait_for(enquiries)
        assert (answer.away, answer.attempt) == ("nobody answers", attempt)
        assert not enquiries.may_ask(2)  # the pause is the registry's, not the object's
        pauses.append(enquiries._again_s - time.monotonic())
    assert 0.0 < pauses[0] <= 0.05
    assert 0.1 <= pauses[3] <= 0.4
    far.away = False
    while not enquiries.ask(1, CAT, 8):
        time.sleep(0.002)
    assert wait_for(enquiries)[0].away is None


def test_answers_about_what_has_been_forgotten_are_dropped():
    far = Far(model("cat"))
    enquiries = Enquiries(far)
    enquiries.ask(1, CAT, 8)
    assert far.asked.wait(30.0)
    enquiries.forget()
    assert enquiries.ask(1, Query(), 8)
    far.gate.set()
    (answer,) = wait_for(enquiries)
    assert answer.query == Query()


def test_a_learned_model_is_handed_in_until_it_is_taken_even_if_its_object_is_forgotten():
    far = Far()
    far.full = True
    enquiries = Enquiries(far, first_pause_s=0.01)
    enquiries.publish(5, model("cat"))
    (receipt,) = wait_for(enquiries)
    assert (receipt.object_id, receipt.published_as) == (5, None)
    assert "no space left" in receipt.refused
    assert enquiries.is_publishing(5)
    enquiries.forget()
    far.full = False
    while (receipt := wait_for(enquiries)[0]).published_as is None:
        pass
    assert receipt.object_id == -1
    assert list(far.models) == [receipt.model.card.model_id]


def test_what_the_background_did_not_foresee_is_raised_in_the_loop():
    class Broken(Far):
        def search(self, query: Query, k: int = 8) -> Candidates:
            raise ZeroDivisionError("a mistake in a registry")

    enquiries = Enquiries(Broken())
    enquiries.ask(1, CAT, 8)
    with pytest.raises(ZeroDivisionError, match="a mistake in a registry"):
        wait_for(enquiries)


def test_the_thread_ends_with_the_world_model():
    far = Far(model("cat"))
    far.gate.set()
    enquiries = Enquiries(far)
    enquiries.ask(1, CAT, 8)
    wait_for(enquiries)
    thread = enquiries._thread
    del enquiries
    thread.join(30.0)
    assert not thread.is_alive()


def test_an_alarmed_object_runs_on_the_broad_model_until_a_far_registry_answers():
    far = Far(model("cat"), model("dog"))
    wm = world_model(far)
    stream = frames(6.0, cat_from_s=1.0)
    wm.reset(next(stream))
    events: list[Event] = []
    waited = 0
    for observation in stream:
        record = wm.step(observation, np.zeros(3))
        events += record.events
        if of(events, EventKind.ALARM):
            waited += 1
        if 1 < waited < 20:
            (alarmed,) = record.alarmed
            assert wm.belief.model_ids[wm.belief.model_index[wm.belief.slot_of(alarmed)]] == "generic/unknown"
            assert not of(events, EventKind.CANDIDATES)
        if waited == 20:
            far.gate.set()
            time.sleep(0.2)  # for the other thread to say what it has
    (adoption,) = of(events, EventKind.ADOPTION)
    assert adoption.detail["kind"] == "cat"
    assert len(far.queries) == 1


def test_a_request_under_way_is_asked_again_after_a_restart(tmp_path):
    far = Far(model("cat"), model("dog"))
    wm = world_model(far)
    observations = list(frames(6.0, cat_from_s=1.0))
    wm.reset(observations[0])
    number = 0
    while not far.asked.is_set():
        number += 1
        wm.step(observations[number], np.zeros(3))
        time.sleep(0.002)
    wm.save(tmp_path / "model.safetensors")
    again = WorldModel.load(tmp_path / "model.safetensors", registry=Shelf(model("cat"), model("dog")))
    events: list[Event] = []
    for observation in observations[number + 1 :]:
        events += again.step(observation, np.zeros(3)).events
    far.gate.set()
    assert [e.detail["kind"] for e in of(events, EventKind.ADOPTION)] == ["cat"]


def published_address(folder) -> str:
    """The address of a registry that holds a cat and a dog."""
    address = f"sqlite:///{folder / 'registry.db'}"
    with open_registry(address) as registry:
        for family in ("cat", "dog"):
            registry.publish(model(family))
    return address


@pytest.mark.parametrize("how", ["frozen", pytest.param("killed", marks=pytest.mark.slow)])
def test_a_server_that_stops_in_mid_query_costs_no_step_and_is_asked_again(tmp_path, how):
    """A real server is frozen (it takes the connection and says nothing) or killed; it comes back seconds later."""
    address = published_address(tmp_path)
    server = Served(address)
    steps_s: list[float] = []
    events: list[Event] = []
    client = HttpRegistry(server.url, token=TOKEN, cache=BlobCache(tmp_path / "cache"), timeout_s=5.0, attempts=2)
    try:
        wm = world_model(client)
        observations = list(frames(20.0, cat_from_s=1.0))

        def step(number: int) -> None:
            started = time.perf_counter()
            events.extend(wm.step(observations[number], np.zeros(3)).events)
            steps_s.append(time.perf_counter() - started)

        wm.reset(observations[0])
        if how == "frozen":
            os.kill(server.process.pid, signal.SIGSTOP)
        else:
            server.stop()
        number, down_until = 0, time.monotonic() + 3.0
        while time.monotonic() < down_until and number < 250:
            number += 1
            step(number)
            time.sleep(0.01)
        assert of(events, EventKind.ALARM)
        assert not of(events, EventKind.CANDIDATES)
        if how == "frozen":
            os.kill(server.process.pid, signal.SIGCONT)
        else:
            assert of(events, EventKind.REGISTRY_AWAY)
            server = Served(address, server.port)
        while not of(events, EventKind.ADOPTION) and number < len(observations) - 1:
            number += 1
            step(number)
            time.sleep(0.05)
        assert [e.detail["kind"] for e in of(events, EventKind.ADOPTION)] == ["cat"]
        assert max(steps_s) < STEP_S
    finally:
        client.close()
        server.stop()
