"""A registry on another machine, over HTTP, with a cache here: what was fetched once is there while the server is away.

A search is one round trip: it brings cards and models together, so the fetches that follow are answered from here.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Self

import httpx

from worldsim.contracts.object_model import ObjectModel
from worldsim.contracts.registry import Registry
from worldsim.errors import ConfigurationError, IntegrityError, StorageError
from worldsim.registry.access import TOKEN_VARIABLE, check_token
from worldsim.registry.answers import raise_as_the_server_did, read_json
from worldsim.registry.artefact import TestStream, model_bytes, open_model, sha256_of
from worldsim.registry.blob_cache import BlobCache
from worldsim.registry.cards import card_from_json, card_to_json, check_model_id, model_class
from worldsim.registry.descriptor import check_query
from worldsim.registry.download import Download
from worldsim.registry.framing import MEDIA_TYPE, pack_model, unpack_bundle
from worldsim.registry.identity import Identity, check_is_asked_for
from worldsim.registry.interaction_client import HttpInteractions
from worldsim.registry.write_behind import WriteBehind
from worldsim.types.card import ModelCard
from worldsim.types.query import Candidates, Query

__all__ = ["HttpRegistry"]

_TRY_AGAIN = frozenset({429, 502, 503, 504})
_SENT = (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError)  # the whole request had been, by then
_FRESH_S = 10.0  # a card that a search brought this lately is taken for the newest without asking again
_REMEMBERED = 256
_PAGE = 500


class HttpRegistry(Registry):
    """The registry at a URL. Safe to use from several threads.

    Attributes:
        interactions: the kinds of interaction that lie beside the object models.
    """

    remote = True

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        cache: BlobCache | None = None,
        timeout_s: float = 5.0,
        attempts: int = 4,
        offline: bool = False,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Speak to the service at `url`; nothing is sent before the first call.

        Args:
            url: ``http://host:port``.
            token: for writing; the environment variable WORLDSIM_REGISTRY_TOKEN where None.
            cache: where fetched models are kept, the user's cache folder where None.
            timeout_s: of one attempt.
            attempts: of one call; between them it waits, longer each time and at random.
            offline: ask nobody, answer from the cache alone.
            transport: how requests travel (for tests and proxies).

        Raises:
            ConfigurationError: `url` is none, or the token cannot travel in a header.
        """
        self.url = url.rstrip("/")
        self.offline, self.attempts = offline, max(attempts, 1)
        token = token or os.environ.get(TOKEN_VARIABLE)
        try:
            self._http = httpx.Client(
                base_url=self.url,
                timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 2.0)),
                headers={"Authorization": f"Bearer {check_token(token)}"} if token else {},
                transport=transport,
                trust_env=False,
            )
        except httpx.InvalidURL as error:
            raise ConfigurationError(f"registry address {url!r}: {error}; expected http://host:port.") from error
        self.cache = cache or BlobCache.of_user()
        self._kept = WriteBehind(self.cache)
        self._identity = Identity(self.url, self.cache, offline=offline)
        self._turn = threading.Lock()
        self._recent: OrderedDict[str, tuple[float, ModelCard]] = OrderedDict()
        self._classes: dict[str, type[ObjectModel]] = {}
        self._jitter = random.Random()  # spreads retries, decides nothing else
        self.interactions = HttpInteractions(self._ask, self._kept, self._identity, offline=offline)

    def __repr__(self) -> str:
        """Return where the registry lies."""
        return f"{type(self).__name__}({self.url!r})"

    def __enter__(self) -> Self:
        """Use the registry in a ``with`` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close the connections; what was fetched is in the cache then."""
        self._http.close()
        self.settle()

    def settle(self) -> None:
        """Wait until everything that was fetched is in the cache; it is written in the background."""
        self._kept.settle()

    def search(self, query: Query, k: int = 8, *, tag: str | None = None, licence: str | None = None) -> Candidates:
        """Return the nearest cards, and fetch their models by the same round trip.

        Raises:
            ConfigurationError: the query has numbers that cannot be.
            StorageError: the server cannot be reached, or says that it cannot.
        """
        check_query(query)
        wanted = _search_document(query) | {"k": k, "tag": tag, "licence": licence}
        content = json.dumps({name: value for name, value in wanted.items() if value is not None})
        answer = self._ask("POST", "/v1/bundle", content=content, headers={"Content-Type": "application/json"})
        found, blobs = unpack_bundle(answer.content)
        self._keep(answer, found.cards, blobs)
        return found

    def fetch(self, model_id: str, version: int | None = None) -> ObjectModel:
        """Return the model, checksum verified; raises as `StoredRegistry.fetch` does, StorageError while away."""
        return self.fetch_with_stream(model_id, version)[0]

    def fetch_with_stream(self, model_id: str, version: int | None = None) -> tuple[ObjectModel, TestStream | None]:
        """Return the model as `fetch` does, and its test stream if it has one."""
        card = self.card(model_id, version)
        data = self._kept.get(card.sha256)
        if data is None:
            data = self._download(card)
        found = self._classes.get(card.family)
        if found is None:
            found = self._classes[card.family] = model_class(card.family, card.model_id)
        return open_model(card, data, found)

    def card(self, model_id: str, version: int | None = None) -> ModelCard:
        """Return one card: from what a search brought a moment ago, from the server, or from the cache.

        A version never changes, so one that this registry sent before is not asked for again; before the registry has
        said in this process who it is, it is. Offline the cache alone is looked at.

        Raises:
            IntegrityError: the server sent the card of another model.
        """
        check_model_id(model_id)
        with self._turn:
            seen_s, recent = self._recent.get(model_id, (-_FRESH_S, None))
        if recent is not None and version in (None, recent.version) and time.monotonic() - seen_s < _FRESH_S:
            return recent
        place = self._identity.place
        if place is not None and (version is not None or self.offline):
            kept = self._kept.card(place, model_id, version)
            if kept is not None:
                return kept
        params = {} if version is None else {"version": version}
        answer = self._ask("GET", f"/v1/models/{model_id}", params=params)
        card = card_from_json(answer.content)
        check_is_asked_for(answer.url, card, model_id, version)
        self._keep(answer, [card])
        return card

    def publish(self, model: ObjectModel, stream: TestStream | None = None) -> str:
        """Store the model as the next version of its id; raises as `StoredRegistry.publish` does.

        It is sent once: only an attempt that did not reach the server is repeated.

        Raises:
            StorageError: among others, it was sent and not acknowledged: it may be stored, and may be published again.
        """
        card_to_json(model.card)
        body = pack_model(model.card, model_bytes(model.card, stream))
        answer = self._ask("POST", "/v1/models", content=body, headers={"Content-Type": MEDIA_TYPE}, once=True)
        with self._turn:
            self._recent.pop(model.card.model_id, None)
        return read_json(answer, lambda told: str(told["published"]))

    def set_alias(self, model_id: str, alias: str, version: int) -> None:
        """Let `alias` name a version, as `StoredRegistry.set_alias` does."""
        check_model_id(model_id)
        self._ask("PUT", f"/v1/models/{model_id}/aliases/{alias}", json={"version": version})

    def versions(self, model_id: str) -> list[int]:
        """Return the versions there are of `model_id`, ascending."""
        check_model_id(model_id)
        answer = self._ask("GET", f"/v1/models/{model_id}/versions")
        return read_json(answer, lambda told: [int(v) for v in told["versions"]])

    def aliases(self, model_id: str) -> dict[str, int]:
        """Return the aliases of `model_id` and the versions they name."""
        check_model_id(model_id)
        answer = self._ask("GET", f"/v1/models/{model_id}/versions")
        return read_json(answer, lambda told: {k: int(v) for k, v in told["aliases"].items()})

    def cards(self, tag: str | None = None) -> list[ModelCard]:
        """Return the newest version of every card (with `tag`, where given), ordered by id."""
        found: list[ModelCard] = []
        while True:
            params: dict[str, Any] = {"limit": _PAGE, "after": found[-1].model_id if found else ""}
            answer = self._ask("GET", "/v1/models", params=params | ({"tag": tag} if tag else {}))
            texts = read_json(answer, lambda told: [json.dumps(card) for card in told["cards"]])
            page = [card_from_json(text) for text in texts]
            found += page
            if len(page) < _PAGE:
                self._keep(answer, page[-_REMEMBERED:])
                return found

    def ping(self) -> None:
        """Ask the server whether it is alive; StorageError where it does not answer."""
        self._ask("GET", "/health")

    def __len__(self) -> int:
        """Return the number of models."""
        return read_json(self._ask("GET", "/ready"), lambda told: int(told["models"]))

    def _keep(
        self, answer: httpx.Response, cards: Sequence[ModelCard], blobs: Mapping[str, bytes] | None = None
    ) -> None:
        """Keep what an answer brought, with the registry that it came from."""
        place = self._identity.place_of(answer.headers)
        self._kept.put(blobs or {}, cards, place)
        with self._turn:
            if place != self._identity.place:
                return  # another registry has answered since
            for card in cards:
                self._recent[card.model_id] = (time.monotonic(), card)
                self._recent.move_to_end(card.model_id)
            while len(self._recent) > _REMEMBERED:
                self._recent.popitem(last=False)

    def _download(self, card: ModelCard) -> bytes:
        """Download a model, going on where an earlier attempt (of this process or another) was cut off."""
        path, params = f"/v1/models/{card.model_id}/model", {"version": card.version}
        with Download(self.cache.part(card.sha256)) as arriving:
            resumed = len(arriving) > 0
            self._try("GET", path, lambda: arriving.attempt(self._http, path, params))
            if resumed and sha256_of(arriving.content()) != card.sha256:  # what was kept has been damaged since
                arriving.restart()
                self._try("GET", path, lambda: arriving.attempt(self._http, path, params))
            data = arriving.content()
            arriving.discard()
        if sha256_of(data) != card.sha256:
            raise IntegrityError(f"{self.url} sent other bytes for {card.model_id}@{card.version} than its card says.")
        self._kept.put({card.sha256: data})
        return data

    def _ask(self, method: str, path: str, *, once: bool = False, **content: Any) -> httpx.Response:
        return self._try(method, path, lambda: self._http.request(method, path, **content), once)

    def _try(self, method: str, path: str, send: Callable[[], httpx.Response], once: bool = False) -> httpx.Response:
        if self.offline:
            raise StorageError(
                f"{method} {self.url}{path}: this registry was opened offline, and its cache lacks that."
            )
        for attempt in range(1, self.attempts + 1):
            last = attempt == self.attempts
            try:
                answer = send()
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if last:
                    self._away(error)
            except httpx.HTTPError as error:
                if once and isinstance(error, _SENT):
                    raise StorageError(
                        f"{method} {self.url}{path}: sent, but not acknowledged ({type(error).__name__}: {error}); it "
                        "may be stored. Publish it again: what is the newest version already is not stored twice."
                    ) from error
                if last or once:
                    self._away(error)
            else:
                if answer.is_success:
                    self._meet(answer)
                    return answer
                if last or once or answer.status_code not in _TRY_AGAIN:
                    raise_as_the_server_did(answer, f"{method} {self.url}{path}")
            # full jitter (Brooker 2015): a fleet that lost its server does not come back in step
            time.sleep(self._jitter.uniform(0.0, min(0.1 * 2.0**attempt, 2.0)))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _meet(self, answer: httpx.Response) -> None:
        with self._turn:
            if self._identity.met(answer.headers):
                self._recent.clear()

    def _away(self, error: Exception) -> NoReturn:
        raise StorageError(
            f"registry {self.url} cannot be reached ({type(error).__name__}: {error}). Is 'worldsim registry serve' "
            "running there? Go on without it and ask again, or open it offline to use what was fetched before."
        ) from error


def _search_document(query: Query) -> dict[str, Any]:
    def listed(values: tuple[float, ...] | None) -> list[float] | None:
        return None if values is None else [float(v) for v in values]

    def named(values: Mapping[str, float]) -> dict[str, float]:
        return {str(name): float(value) for name, value in values.items()}

    return {
        "extent_m": listed(query.extent_m),
        "extent_std_m": listed(query.extent_std_m),
        "appearance": listed(query.appearance),
        "appearance_std": listed(query.appearance_std),
        "motion": named(query.motion),
        "channel_share": named(query.channel_share),
        "kind": query.kind,
        "exclude": sorted(query.exclude),
    }
