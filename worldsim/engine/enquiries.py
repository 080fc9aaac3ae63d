"""Asking a registry that is far away: questions travel in the background, answers are taken up when they are there.

One thread per world model does the talking, so that no step ever waits for a server. While the server does not answer,
the pause before the next question grows, at random, up to a limit; nothing is asked twice at once, and what was learned
is kept until the server has acknowledged it.
"""

from __future__ import annotations

import random
import threading
import time
import weakref
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from worldsim.contracts.object_model import ObjectModel
from worldsim.contracts.registry import Registry
from worldsim.errors import CardError, ConfigurationError, PluginError, RegistryError, WorldsimError
from worldsim.filtering.library import check_loadable
from worldsim.types.query import Candidates, Query

__all__ = ["Answer", "Enquiries", "Receipt", "look_up"]

NOBODY = -1
"""The object of a receipt whose object has been forgotten."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one question about one object.

    Attributes:
        object_id: whom it was about.
        query: what was asked.
        candidates: the cards found, nearest first.
        models: those of them that could be fetched.
        refused: (model id, why) of those that could not.
        away: why the registry did not answer, None where it did.
        attempt: how many times this has been asked, 1 for the first.
    """

    object_id: int
    query: Query
    candidates: Candidates = field(default_factory=lambda: Candidates((), ()))
    models: tuple[ObjectModel, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    away: str | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of handing in one model.

    Attributes:
        object_id: whom it was learned from, `NOBODY` where that has been forgotten meanwhile.
        model: the model.
        published_as: ``model_id@version``, None where the registry did not take it.
        refused: why it did not; it is handed in again.
    """

    object_id: int
    model: ObjectModel
    published_as: str | None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class _Question:
    epoch: int
    object_id: int
    query: Query
    k: int
    attempt: int


_Told = tuple[int, Answer] | Receipt | BaseException


def look_up(registry: Registry, object_id: int, query: Query, k: int, attempt: int = 1) -> Answer:
    """Search and fetch; that the registry is away, or that a candidate cannot be run here, is part of the answer."""
    try:
        found = registry.search(query, k)
    except (RegistryError, ConfigurationError) as away:  # what was seen of the object may be numbers that cannot be
        return Answer(object_id, query, away=str(away), attempt=attempt)
    models, refused = [], []
    for card in found.cards:
        try:
            model = registry.fetch(card.model_id, card.version)
            check_loadable(model)
        except (RegistryError, PluginError, CardError) as error:  # damaged, or not for the class that is installed here
            refused.append((card.model_id, str(error)))
        else:
            models.append(model)
    return Answer(object_id, query, found, tuple(models), tuple(refused), attempt=attempt)


class Enquiries:
    """The questions that one world model has put to one registry. Used from one thread; it never waits."""

    def __init__(
        self,
        registry: Registry,
        *,
        capacity: int = 32,
        first_pause_s: float = 0.25,
        longest_pause_s: float = 8.0,
    ) -> None:
        """Ask `registry`; nothing is sent, and no thread begun, before the first question.

        Args:
            registry: whom to ask.
            capacity: questions and models under way at once; more wait with the caller.
            first_pause_s: before the registry is asked again after it did not answer; doubled each time.
            longest_pause_s: the pause never grows beyond it.
        """
        self._registry, self._capacity = registry, capacity
        self._first_pause_s, self._longest_pause_s = first_pause_s, longest_pause_s
        self._asked: SimpleQueue[_Question | ObjectModel | None] = SimpleQueue()
        self._told: SimpleQueue[_Told] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._epoch = 0
        self._attempts: dict[int, int] = {}
        self._questions: set[int] = set()
        self._outbox: dict[str, tuple[int, ObjectModel]] = {}
        self._sent: set[str] = set()
        self._failures, self._again_s = 0, 0.0
        self._jitter = random.Random()  # spreads the questions of a fleet, decides nothing else

    def may_ask(self, object_id: int) -> bool:
        """Whether a question about this object would be sent now: none is under way, and the pause is over."""
        return object_id not in self._questions and self._has_room()

    def ask(self, object_id: int, query: Query, k: int) -> bool:
        """Send a question; return False, and send nothing, where `may_ask` says so."""
        if not self.may_ask(object_id):
            return False
        attempt = self._attempts[object_id] = self._attempts.get(object_id, 0) + 1
        self._questions.add(object_id)
        self._send(_Question(self._epoch, object_id, query, k, attempt))
        return True

    def publish(self, object_id: int, model: ObjectModel) -> None:
        """Hand in a model learned from this object; it is kept and handed in again until the registry has taken it."""
        self._outbox[model.card.model_id] = (object_id, model)
        self._post()

    def is_publishing(self, object_id: int) -> bool:
        """Whether a model learned from this object has not been acknowledged yet."""
        return any(whose == object_id for whose, _ in self._outbox.values())

    def collect(self) -> list[Answer | Receipt]:
        """Return what has come in since the last call, in the order in which it came.

        Raises:
            Exception: whatever the background thread ran into that it had not foreseen.
        """
        found: list[Answer | Receipt] = []
        while True:
            try:
                told = self._told.get_nowait()
            except Empty:
                break
            if isinstance(told, BaseException):
                raise told
            if isinstance(told, Receipt):
                found.append(self._received(told))
            elif told[0] == self._epoch:
                found.append(self._answered(told[1]))
        self._post()
        return found

    def forget(self) -> None:
        """Drop every question, sent or not: their objects are gone. Models to be handed in are kept."""
        self._epoch += 1
        self._questions.clear()
        self._attempts.clear()
        self._outbox = {name: (NOBODY, model) for name, (_, model) in self._outbox.items()}

    def _answered(self, answer: Answer) -> Answer:
        self._questions.discard(answer.object_id)
        self._pause(answer.away is not None)
        if answer.away is None:
            self._attempts.pop(answer.object_id, None)
        return answer

    def _received(self, receipt: Receipt) -> Receipt:
        name = receipt.model.card.model_id
        self._sent.discard(name)
        self._pause(receipt.published_as is None)
        object_id = self._outbox[name][0]
        if receipt.published_as is not None:
            del self._outbox[name]
        return Receipt(object_id, receipt.model, receipt.published_as, receipt.refused)

    def _post(self) -> None:
        """Send what is in the outbox and not under way."""
        for name, (_, model) in self._outbox.items():
            if name not in self._sent and self._has_room():
                self._sent.add(name)
                self._send(model)

    def _has_room(self) -> bool:
        return len(self._questions) + len(self._sent) < self._capacity and time.monotonic() >= self._again_s

    def _pause(self, failed: bool) -> None:
        self._failures = self._failures + 1 if failed else 0
        if failed:
            longest = min(self._first_pause_s * 2.0 ** (self._failures - 1), self._longest_pause_s)
            self._again_s = time.monotonic() + self._jitter.uniform(0.5, 1.0) * longest
        else:
            self._again_s = 0.0

    def _send(self, what: _Question | ObjectModel) -> None:
        if self._thread is None:
            arguments = (self._registry, self._asked, self._told)  # not self: the thread must not keep it alive
            self._thread = threading.Thread(target=_talk, args=arguments, name="worldsim-enquiries", daemon=True)
            self._thread.start()
            weakref.finalize(self, self._asked.put, None)
        self._asked.put(what)


def _talk(registry: Registry, asked: SimpleQueue[_Question | ObjectModel | None], told: SimpleQueue[_Told]) -> None:
    while (what := asked.get()) is not None:
        try:
            if isinstance(what, _Question):
                told.put((what.epoch, look_up(registry, what.object_id, what.query, what.k, what.attempt)))
            else:
                told.put(_hand_in(registry, what))
        except Exception as unforeseen:  # noqa: BLE001 - raised again where the answers are collected
            told.put(unforeseen)


def _hand_in(registry: Registry, model: ObjectModel) -> Receipt:
    try:
        return Receipt(NOBODY, model, registry.publish(model))
    except WorldsimError as refused:
        return Receipt(NOBODY, model, None, str(refused))
