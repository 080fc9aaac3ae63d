"""Kills publishers and servers with SIGKILL in mid-publish, and looks at what they leave behind.

Two writers publish at once, each as fast as it can. What a publish has returned for is *acknowledged*: the name went
through a pipe (or over HTTP) before the kill. After each kill every acknowledged model must be there and verify, no
half model may be visible, and the next publish and search must work with nothing having been repaired by hand.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from worldsim.contracts.object_model import ObjectModel
from worldsim.errors import ConfigurationError, RegistryError, WorldsimError
from worldsim.registry import HttpRegistry, StoredRegistry, TestStream, open_registry, open_stored
from worldsim.registry.blob_cache import BlobCache
from worldsim.registry.maintenance import verify
from worldsim.types.card import ModelCard
from worldsim.types.query import Query

__all__ = ["Tally", "kill_publishers", "kill_servers"]

_TOKEN = "kill-test"
_START_S = 120.0  # for a process to start, on a machine that does much else
_LONGEST_S = 0.12  # a publish takes a few milliseconds: the kill comes somewhere among the first dozens
_VERIFY_EVERY = 10  # kills between two looks at everything; what was acknowledged since is looked at each time
Told = Callable[[str], None]


@dataclass
class Tally:
    """What the kills have shown.

    Attributes:
        kills: processes killed while they were publishing.
        acknowledged: models whose publish had returned.
        lost: acknowledged models that were not there afterwards, or did not verify.
        half: models that were visible and not whole.
        errors: what a writer that was not killed was told, other than that its server is gone.
        unhealed: kills after which a search did not find what had been published last.
    """

    kills: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    unhealed: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether no kill has cost anything."""
        return not (self.lost or self.half or self.errors or self.unhealed)


def kill_publishers(
    address: str, model: ObjectModel, kills: int, rng: np.random.Generator, told: Told | None = None
) -> Tally:
    """Kill one of two processes that publish into the registry at `address`, `kills` times.

    Args:
        address: of a registry in a file, made where there is none.
        model: what is published, under ids of its own.
        kills: how many.
        rng: when each kill comes.
        told: called with one line of progress at a time.
    """
    tally = Tally()
    context = _context()
    open_stored(address).close()
    for number in range(kills):
        names = (f"kill-{number}-left", f"kill-{number}-right")
        writers = [_Writer(context, address, _named(model, name)) for name in names]
        victim = writers[int(rng.integers(2))]
        survivor = next(w for w in writers if w is not victim)
        for writer in writers:
            writer.wait_for_the_first()
        time.sleep(float(rng.uniform(0.0, _LONGEST_S)))
        victim.kill()
        tally.kills += 1
        survivor.end()
        tally.errors += victim.errors + survivor.errors
        _look(address, [*victim.acknowledged, *survivor.acknowledged], _named(model, names[0]), tally)
        _tell(told, "publishers", tally, kills)
    _verify(address, tally)
    return tally


def kill_servers(
    address: str,
    model: ObjectModel,
    kills: int,
    rng: np.random.Generator,
    folder: Path,
    told: Told | None = None,
) -> Tally:
    """Kill a server of the registry at `address` while two clients publish through it, `kills` times.

    Args:
        address, model, kills, rng, told: as for `kill_publishers`.
        folder: for the clients' caches.
    """
    tally = Tally()
    context = _context()
    open_stored(address).close()
    for number in range(kills):
        receiving, sending = context.Pipe(duplex=False)
        server = context.Process(target=_serve, args=(address, sending), daemon=True)
        server.start()
        sending.close()
        url = _received(receiving, _START_S)
        clients = [_Client(url, _named(model, f"served-{number}-{side}"), folder) for side in ("left", "right")]
        for client in clients:
            client.started.wait(_START_S)
        time.sleep(float(rng.uniform(0.0, _LONGEST_S)))
        _kill(server)
        tally.kills += 1
        receiving.close()
        for client in clients:
            client.thread.join(_START_S)
            tally.errors += client.errors
        acknowledged = [name for client in clients for name in client.acknowledged]
        _look(address, acknowledged, clients[0].model, tally)
        _tell(told, "servers", tally, kills)
    _verify(address, tally)
    return tally


class _Writer:
    """A process that publishes one model again and again, and says so after each."""

    def __init__(self, context: ForkServerContext, address: str, model: ObjectModel) -> None:
        self._receiving, sending = context.Pipe(duplex=False)
        self._stop = context.Event()
        arguments = (address, type(model), model.card, sending, self._stop)
        self.process = context.Process(target=_publish, args=arguments, daemon=True)
        self.process.start()
        sending.close()
        self.acknowledged: list[str] = []
        self.errors: list[str] = []

    def wait_for_the_first(self) -> None:
        self._note(_received(self._receiving, _START_S))

    def kill(self) -> None:
        _kill(self.process)
        self._drain()

    def end(self) -> None:
        self._stop.set()
        self._drain()
        self.process.join(_START_S)

    def _drain(self) -> None:
        with suppress(EOFError, OSError):  # the other end is closed: it has ended, or been killed, maybe in mid-word
            while True:
                self._note(_received(self._receiving, _START_S))
        self._receiving.close()

    def _note(self, line: str) -> None:
        kind, _, what = line.partition(" ")
        (self.acknowledged if kind == "published" else self.errors).append(what)


class _Client:
    """A thread that publishes one model again and again until its server is gone."""

    def __init__(self, url: str, model: ObjectModel, folder: Path) -> None:
        self.model = model
        self.acknowledged: list[str] = []
        self.errors: list[str] = []
        self.started = threading.Event()
        self.thread = threading.Thread(target=self._work, args=(url, BlobCache(folder)), daemon=True)
        self.thread.start()

    def _work(self, url: str, cache: BlobCache) -> None:
        with HttpRegistry(url, token=_TOKEN, cache=cache, attempts=1) as registry:
            number = 0
            try:
                while True:
                    self.acknowledged.append(registry.publish(self.model, _stream(number)))
                    number += 1
                    self.started.set()
            except RegistryError as error:
                if not any(sign in str(error) for sign in ("cannot be reached", "not acknowledged")):
                    self.errors.append(str(error))
            finally:
                self.started.set()


def _publish(address: str, kind: type[ObjectModel], card: ModelCard, sending: Connection, stop: Event) -> None:
    model = kind(card)
    try:
        with open_registry(address) as registry:
            number = 0
            while not stop.is_set():
                sending.send_bytes(f"published {registry.publish(model, _stream(number))}".encode())
                number += 1
    except WorldsimError as error:
        sending.send_bytes(f"error {error}".encode())


def _serve(address: str, sending: Connection) -> None:
    from worldsim.registry.serving import run_service

    with open_stored(address) as registry:
        run_service(
            registry,
            port=0,
            token=_TOKEN,
            requests_per_s=1e6,
            log_requests=False,
            listening=lambda url: sending.send_bytes(url.encode()),
        )


def _look(address: str, acknowledged: list[str], model: ObjectModel, tally: Tally) -> None:
    """Open the registry as the next user does, look for what was acknowledged, and go on publishing."""
    tally.acknowledged += len(acknowledged)
    with open_stored(address) as registry:
        for name in acknowledged:
            model_id, _, version = name.partition("@")
            try:
                registry.fetch(model_id, int(version))
            except RegistryError as error:
                tally.lost.append(f"{name}: {error}")
        published = registry.publish(model)
        card = model.card
        query = Query(card.shape.extent_m, appearance=card.descriptor.appearance, motion=card.descriptor.motion)
        mine = replace(query, exclude=frozenset(_others(registry, card.model_id)))
        found = [f"{c.model_id}@{c.version}" for c in registry.search(mine, 1).cards]
        tally.unhealed += found != [published]
        if tally.kills % _VERIFY_EVERY == 0:
            _note_half(registry, tally)


def _others(registry: StoredRegistry, model_id: str) -> list[str]:
    return [card.model_id for card in registry.cards() if card.model_id != model_id]


def _verify(address: str, tally: Tally) -> None:
    with open_stored(address) as registry:
        _note_half(registry, tally)


def _note_half(registry: StoredRegistry, tally: Tally) -> None:
    found = verify(registry).findings
    tally.half += [f"{f.where}: {f.problem}" for f in found if not f.harmless and f.where not in tally.half]


def _named(model: ObjectModel, name: str) -> ObjectModel:
    return type(model)(model.card.replace(model_id=f"{model.card.kind}/{name}"))


def _stream(number: int) -> TestStream:
    """Return a recording that no other publish has, so that each stores bytes of its own, about 15 kB."""
    frames = 200
    position = np.random.default_rng(number).normal(size=(frames, 3))
    upright = np.tile([0.0, 0.0, 0.0, 1.0], (frames, 1))
    return TestStream(
        0.05 * np.arange(frames), position, upright, np.ones((frames, 3)), np.full((frames, 6), 1e-4), -1.0
    )


def _context() -> ForkServerContext:
    """Return a way to start processes quickly: forked from one that has imported everything and runs no thread."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "worldsim.registry.serving", "worldsim.registry.service"])
    return context


def _received(receiving: Connection, longest_s: float) -> str:
    if not receiving.poll(longest_s):
        raise ConfigurationError(f"a process of the kill test said nothing for {longest_s:g} s.")
    return receiving.recv_bytes().decode()


def _kill(process: ForkServerProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(_START_S)


def _tell(told: Told | None, what: str, tally: Tally, kills: int) -> None:
    if told is not None and tally.kills % 20 == 0:
        told(f"{tally.kills} of {kills} {what} killed, {tally.acknowledged} models acknowledged")
