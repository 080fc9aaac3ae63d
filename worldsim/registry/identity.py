"""Which registry answers at a URL, and which place in the cache is for what it says."""

from __future__ import annotations

from collections.abc import Mapping

from worldsim.errors import IntegrityError
from worldsim.registry.artefact import sha256_of
from worldsim.registry.blob_cache import BlobCache
from worldsim.types.card import ModelCard
from worldsim.types.interaction_card import InteractionCard

__all__ = ["IDENTITY_HEADER", "Identity", "check_is_asked_for"]

IDENTITY_HEADER = "X-Registry-Id"
"""Every answer of a service says by it which registry it is of (`Database.registry_id`)."""


class Identity:
    """The registry behind one URL, as it names itself in its answers.

    A place is named by the URL and the registry's name together: by the name alone a server could put cards where
    another's are looked for, by the URL alone a registry that was made anew would be taken for the old one.

    Attributes:
        place: of the registry that answered last (offline: in whatever process), None where none has named itself.
    """

    def __init__(self, url: str, cache: BlobCache, *, offline: bool) -> None:
        """Know nobody yet, or offline whom `cache` knows at `url`."""
        self._url, self._cache = url, cache
        self.place = cache.place_of(url) if offline else None

    def place_of(self, headers: Mapping[str, str]) -> str | None:
        """Return the place for what came with these headers, None where they name no registry: it is not kept."""
        name = headers.get(IDENTITY_HEADER)
        return None if name is None else sha256_of(f"{self._url}\n{name}".encode())[:32]

    def met(self, headers: Mapping[str, str]) -> bool:
        """Note who answered; return whether that is another registry than before."""
        place = self.place_of(headers)
        if place == self.place:
            return False
        self.place = place
        if place is not None:
            self._cache.note_place(self._url, place)
        return True


def check_is_asked_for(url: object, card: ModelCard | InteractionCard, model_id: str, version: int | None) -> None:
    """Compare a card that `url` sent with what was asked for.

    Raises:
        IntegrityError: it is another model's, or another version.
    """
    if card.model_id != model_id or version not in (None, card.version):
        wanted = model_id if version is None else f"{model_id}@{version}"
        raise IntegrityError(f"{url} sent the card of {card.model_id}@{card.version}, {wanted} was asked for.")
