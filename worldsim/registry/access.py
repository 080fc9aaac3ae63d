"""The token by which a service knows who may write."""

from __future__ import annotations

import re

from worldsim.errors import ConfigurationError

__all__ = ["TOKEN_VARIABLE", "check_token"]

TOKEN_VARIABLE = "WORLDSIM_REGISTRY_TOKEN"


def check_token(token: str) -> str:
    """Return `token` if it can be told from none, and travels in a header as it is.

    Raises:
        ConfigurationError: it is empty, not of printable ASCII, or begins or ends with a space. It is not repeated.
    """
    if re.fullmatch(r"[!-~]([ -~]*[!-~])?", token) is None:
        raise ConfigurationError(
            f"a token of {len(token)} characters, expected one or more of printable ASCII, no space first or last. "
            f"Correct --token, or the variable {TOKEN_VARIABLE}; 'openssl rand -hex 32' makes a good one."
        )
    return token
