"""Every error that worldsim raises on purpose.

::

    WorldsimError
    ├── ConfigurationError      a part was built with values that cannot work
    ├── UnknownNameError        a name is not in a table (lists the names, suggests the nearest)
    ├── ObservationError        an observation breaks its contract (NaN, wrong shape, time running backwards)
    ├── CardError               a model card or model file breaks its schema
    ├── PluginError             an entry point failed to load or breaks its contract
    ├── SimulationError         the physics engine refused, or diverged
    ├── RegistryError           the registry could not do what was asked
    │   ├── ModelNotFoundError  no model of that id and version
    │   ├── IntegrityError      bytes do not match their checksum, or are truncated
    │   └── StorageError        disk full, database locked, file unreadable
    └── DataError               a recording is missing, corrupt or of another format

What is expected inside the loop (a missed detection, a rejected candidate, no plan) is a value in
`StepRecord`, never an exception.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WorldsimError(Exception):
    """Base of every error raised on purpose by worldsim."""


class ConfigurationError(WorldsimError, ValueError):
    """A part was built with values that cannot work."""


class UnknownNameError(WorldsimError, LookupError):
    """A name is not in its table; the message lists the valid names and the nearest ones."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        """Compose the message from `what` the table holds, the `name` asked for and the `known` names."""
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        shown = ", ".join(names[:40]) + (f", ... ({len(names)} in all)" if len(names) > 40 else "")
        super().__init__(f"unknown {what} {name!r}.{hint} Known: {shown or '(none)'}.")
        self.what, self.name, self.known = what, name, tuple(names)

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, tuple[str, ...]]]:
        """Travel from a worker process by what it was made of, not by its message."""
        return type(self), (self.what, self.name, self.known)


class ObservationError(WorldsimError, ValueError):
    """An observation breaks its contract; the belief is left as it was."""


class CardError(WorldsimError, ValueError):
    """A model card or model file breaks its schema."""


class PluginError(WorldsimError):
    """An entry point failed to load or breaks its contract; the message names it."""


class SimulationError(WorldsimError, RuntimeError):
    """The physics engine refused a call, or its state stopped being finite."""


class RegistryError(WorldsimError):
    """The registry could not do what was asked."""


class ModelNotFoundError(RegistryError, LookupError):
    """No model of that id (and version) is in the registry."""


class IntegrityError(RegistryError):
    """Bytes do not match their checksum, or a file is truncated."""


class StorageError(RegistryError, OSError):
    """The registry's disk or database refused: full, locked or unreadable."""


class DataError(WorldsimError):
    """A recording is missing, corrupt, or not of the expected format."""
