"""The contract of a registry: where models lie that are not loaded."""

from __future__ import annotations

import abc

from worldsim.contracts.object_model import ObjectModel
from worldsim.types.card import ModelCard
from worldsim.types.query import Candidates, Query


class Registry(abc.ABC):
    """A store of model cards and parameters that can be searched. Nothing fetched from it is ever executed.

    Attributes:
        remote: calls travel to another machine and may take long. The loop asks such a registry in the background; any
            other within the step, so that one seed gives one result.
    """

    remote: bool = False

    @abc.abstractmethod
    def search(self, query: Query, k: int = 8) -> Candidates:
        """Return at most `k` cards nearest to the query, nearest first."""

    @abc.abstractmethod
    def fetch(self, model_id: str, version: int | None = None) -> ObjectModel:
        """Return the model (its newest version where `version` is None), checksum verified.

        Raises:
            ModelNotFoundError: no such model.
            IntegrityError: its bytes do not match their checksum, or are truncated.
            PluginError: its family has no class in the plug-in table.
        """

    @abc.abstractmethod
    def publish(self, model: ObjectModel) -> str:
        """Store the model as the next version of its id, whole or not at all; return ``model_id@version``.

        One that is the newest version already, the same to the last byte, may be taken for a publish that is repeated
        since its acknowledgement was lost: then that version's name is returned.

        Raises:
            StorageError: the disk or the database refused; the registry is as it was.
        """

    @abc.abstractmethod
    def cards(self, tag: str | None = None) -> list[ModelCard]:
        """Return the newest version of every card (with `tag`, where given), ordered by id."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Return the number of models."""
