"""What a client makes of a server's answers: what they say, or why they say nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import httpx

from worldsim import errors
from worldsim.errors import ModelNotFoundError, RegistryError
from worldsim.registry.access import TOKEN_VARIABLE

__all__ = ["raise_as_the_server_did", "read_json"]

T = TypeVar("T")


def read_json(answer: httpx.Response, read: Callable[[Any], T]) -> T:
    """Return what `read` finds in the JSON of an answer.

    Raises:
        RegistryError: it is no JSON, or lacks what `read` looks for: something else than a registry is served there.
    """
    try:
        return read(answer.json())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        kind, begins = answer.headers.get("Content-Type", "no content type"), ascii(answer.text[:60])
        raise RegistryError(
            f"{answer.url} answers with {kind}, {begins}, which no registry says. Is 'worldsim registry serve' what "
            "runs there?"
        ) from error


def raise_as_the_server_did(answer: httpx.Response, what: str) -> NoReturn:
    """Raise the error that the service raised, or one that says what the answer to the request `what` was."""
    try:
        told = answer.json()
        name, detail = str(told.get("error", "")), told.get("detail", "")
    except (ValueError, AttributeError):
        name, detail = "", answer.text[:200]
    message = f"{what}: {answer.status_code}: {detail}"
    if "Location" in answer.headers:
        message = f"{what}: {answer.status_code}: it lies at {answer.headers['Location'][:200]}; name that address"
    if answer.status_code == 401:
        message += f". Give it in the variable {TOKEN_VARIABLE}; whoever serves the registry knows it."
    known = getattr(errors, name, None)
    if answer.status_code == 404 and name == "ModelNotFoundError":
        raise ModelNotFoundError(message)
    if isinstance(known, type) and issubclass(known, errors.WorldsimError) and known is not errors.UnknownNameError:
        raise known(message)
    raise RegistryError(message)
