"""The contract of a library of interactions: where kinds lie that no graph has loaded."""

from __future__ import annotations

import abc

from worldsim.contracts.learned_interaction import LearnedInteraction
from worldsim.types.interaction_card import InteractionCandidates, InteractionCard, InteractionQuery


class InteractionLibrary(abc.ABC):
    """A store of kinds of interaction that can be searched. Nothing fetched from it is ever executed."""

    @abc.abstractmethod
    def search(self, query: InteractionQuery, k: int = 8, *, tag: str | None = None) -> InteractionCandidates:
        """Return at most `k` cards nearest to the query, nearest first."""

    @abc.abstractmethod
    def fetch(self, model_id: str, version: int | None = None) -> LearnedInteraction:
        """Return the kind (its newest version where `version` is None), checksum verified.

        Raises:
            ModelNotFoundError: no such interaction.
            IntegrityError: its bytes do not match their checksum, or are truncated.
            PluginError: its family has no class in the plug-in table.
        """

    @abc.abstractmethod
    def publish(self, kind: LearnedInteraction) -> str:
        """Store the kind as the next version of its id, whole or not at all; return ``model_id@version``.

        Raises:
            CardError: its card breaks the schema.
            StorageError: the disk or the database refused; the registry is as it was.
        """

    @abc.abstractmethod
    def cards(self, tag: str | None = None) -> list[InteractionCard]:
        """Return the newest version of every card (with `tag`, where given), ordered by id."""
