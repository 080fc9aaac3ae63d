"""The registry: where models lie that are not loaded.

A model or a kind of interaction is a card (data) and a file of tensors (data); the class that runs it comes from the
plug-in table. Nothing that was fetched is ever executed.
"""

from __future__ import annotations

from worldsim.registry.artefact import TestStream, from_pretrained, save_pretrained
from worldsim.registry.client import HttpRegistry
from worldsim.registry.interaction_artefact import load_interaction, save_interaction
from worldsim.registry.opening import open_existing, open_registry, open_stored
from worldsim.registry.pooling import pool_cards
from worldsim.registry.store import StoredRegistry

__all__ = [
    "HttpRegistry",
    "StoredRegistry",
    "TestStream",
    "from_pretrained",
    "load_interaction",
    "open_existing",
    "open_registry",
    "open_stored",
    "pool_cards",
    "save_interaction",
    "save_pretrained",
]
