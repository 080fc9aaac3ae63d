"""Kinds of interaction of a registry on another machine, over HTTP; what was fetched once is there while it is away."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from worldsim.contracts.interaction_library import InteractionLibrary
from worldsim.contracts.learned_interaction import LearnedInteraction
from worldsim.errors import CardError, StorageError
from worldsim.registry.answers import read_json
from worldsim.registry.artefact import sha256_of
from worldsim.registry.cards import check_model_id
from worldsim.registry.framing import MEDIA_TYPE
from worldsim.registry.identity import Identity, check_is_asked_for
from worldsim.registry.interaction_artefact import interaction_bytes, open_interaction
from worldsim.registry.interaction_cards import interaction_from_json, interaction_to_json
from worldsim.registry.write_behind import WriteBehind
from worldsim.types.interaction_card import InteractionCandidates, InteractionCard, InteractionQuery

__all__ = ["HttpInteractions"]

_PAGE = 500
_PREFIX = "interactions"  # keeps their cards apart from the models' in the cache


class HttpInteractions(InteractionLibrary):
    """The interactions behind a URL. Raises StorageError while the server is away, else as `StoredInteractions`."""

    def __init__(
        self, ask: Callable[..., httpx.Response], kept: WriteBehind, identity: Identity, *, offline: bool
    ) -> None:
        """Speak by `ask` (method, path, content) to `identity`, and keep what was fetched in `kept`."""
        self._ask, self._kept, self._identity, self._offline = ask, kept, identity, offline

    def search(self, query: InteractionQuery, k: int = 8, *, tag: str | None = None) -> InteractionCandidates:
        """Return at most `k` cards nearest to the query, nearest first."""
        wanted: dict[str, Any] = {
            "k": k,
            "tag": tag,
            "terms": query.terms,
            "mean": query.mean,
            "covariance": query.covariance,
            "between": query.between,
            "kind": query.kind,
            "exclude": sorted(query.exclude),
        }
        content = {name: value for name, value in wanted.items() if value is not None}
        answer = self._ask("POST", "/v1/interactions/search", json=content)
        texts, distances = read_json(
            answer,
            lambda told: (
                [json.dumps(one["card"]) for one in told["candidates"]],
                tuple(float(one["distance"]) for one in told["candidates"]),
            ),
        )
        return InteractionCandidates(tuple(map(interaction_from_json, texts)), distances)

    def cards(self, tag: str | None = None) -> list[InteractionCard]:
        """Return the newest version of every card (with `tag`, where given), ordered by id."""
        found: list[InteractionCard] = []
        while True:
            params: dict[str, Any] = {"limit": _PAGE, "after": found[-1].model_id if found else ""}
            answer = self._ask("GET", "/v1/interactions", params=params | ({"tag": tag} if tag else {}))
            page = read_json(answer, lambda told: [json.dumps(card) for card in told["cards"]])
            found += map(interaction_from_json, page)
            if len(page) < _PAGE:
                return found

    def card(self, model_id: str, version: int | None = None) -> InteractionCard:
        """Return one card: from the server, or from the cache where it is a version that was fetched before.

        Raises:
            IntegrityError: the server sent the card of another interaction.
        """
        return self._placed_card(model_id, version)[0]

    def versions(self, model_id: str) -> list[int]:
        """Return the versions there are of `model_id`, ascending."""
        check_model_id(model_id)
        answer = self._ask("GET", f"/v1/interactions/{model_id}/versions")
        return read_json(answer, lambda told: [int(v) for v in told["versions"]])

    def fetch(self, model_id: str, version: int | None = None) -> LearnedInteraction:
        """Return the kind (its newest version where `version` is None), checksum verified."""
        card, place = self._placed_card(model_id, version)
        data = self._kept.get(card.sha256)
        if data is None:
            data = self._ask("GET", f"/v1/interactions/{model_id}/model", params={"version": card.version}).content
        kind = open_interaction(card, data)  # only what is sound is kept
        self._kept.put({sha256_of(data): data})
        if place is not None:
            self._kept.cache.put_text(_PREFIX, place, card.model_id, card.version, interaction_to_json(card))
        return kind

    def publish(self, kind: LearnedInteraction) -> str:
        """Store the kind as the next version of its id. It is sent once."""
        header = interaction_to_json(kind.card).encode()
        body = len(header).to_bytes(8, "little") + header + interaction_bytes(kind.card)
        answer = self._ask("POST", "/v1/interactions", content=body, headers={"Content-Type": MEDIA_TYPE}, once=True)
        return read_json(answer, lambda told: str(told["published"]))

    def __len__(self) -> int:
        """Return the number of interactions."""
        return len(self.cards())

    def _placed_card(self, model_id: str, version: int | None) -> tuple[InteractionCard, str | None]:
        """Return one card and the place in the cache of the registry that it is of."""
        check_model_id(model_id)
        place = self._identity.place
        if place is not None and (version is not None or self._offline):
            kept = self._from_cache(place, model_id, version)
            if kept is not None:
                return kept, place
        params = {} if version is None else {"version": version}
        answer = self._ask("GET", f"/v1/interactions/{model_id}", params=params)
        card = interaction_from_json(answer.content)
        check_is_asked_for(answer.url, card, model_id, version)
        return card, self._identity.place_of(answer.headers)

    def _from_cache(self, place: str, model_id: str, version: int | None) -> InteractionCard | None:
        text = self._kept.cache.text(_PREFIX, place, model_id, version)
        if text is None:
            return None
        try:
            return interaction_from_json(text)
        except CardError as error:
            if self._offline:
                raise StorageError(f"the cached card of {model_id} is damaged: {error}") from error
            return None
