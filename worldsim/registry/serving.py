"""Running the service: one process, one port, until it is told to stop."""

from __future__ import annotations

import gc
import ipaddress
import logging
import math
import sys
from collections.abc import Callable

from worldsim.errors import ConfigurationError, StorageError
from worldsim.extras import advice
from worldsim.registry.access import check_token
from worldsim.registry.store import StoredRegistry

__all__ = ["run_service"]


def run_service(
    registry: StoredRegistry,
    host: str = "127.0.0.1",
    port: int = 8766,
    *,
    token: str | None = None,
    public: bool = False,
    requests_per_s: float = 500.0,
    log_requests: bool = True,
    listening: Callable[[str], None] | None = None,
) -> None:
    """Serve `registry` until SIGINT or SIGTERM.

    Args:
        registry: what to serve.
        host: address to listen on; reading is free on a loopback address.
        port: port to listen on, 0 for a free one.
        token: what a writer must send; None refuses every write.
        public: reading needs no token beyond loopback either.
        requests_per_s: rate of one client.
        log_requests: write one JSON line a request on standard error.
        listening: called with the URL once the service listens.

    Raises:
        ConfigurationError: it would be open to the network without a token, the token (see `check_token`) or the rate
            is none, or the server's packages are missing.
        StorageError: the port is taken.
    """
    if token is not None:
        check_token(token)
    if not 0.0 < requests_per_s < math.inf:
        raise ConfigurationError(f"--rate {requests_per_s}, expected requests a second, finite and above 0.")
    loopback = _is_loopback(host)
    if not loopback and not public and token is None:
        raise ConfigurationError(
            f"--host {host} is reachable from outside this machine: give a --token (readers must send it too), or "
            "--public to let anyone read."
        )
    try:
        import uvicorn

        from worldsim.registry.gateway import Limits
        from worldsim.registry.service import create_app
    except ImportError as error:
        raise ConfigurationError(f"serving needs {error.name}: {advice('uvicorn')}.") from error
    if log_requests:
        _log_lines()
    limits = Limits(requests_per_s=requests_per_s, burst=max(int(2 * requests_per_s), 1))
    app = create_app(registry, token=token, limits=limits, readers_need_token=not (loopback or public))
    config = uvicorn.Config(app, host, port, log_level="warning", access_log=False, timeout_graceful_shutdown=5)

    class Announced(uvicorn.Server):
        async def startup(self, sockets: list | None = None) -> None:
            await super().startup(sockets)
            gc.collect()
            gc.freeze()  # what was imported stays: a collection need not look through it while a client waits
            if listening is not None and self.started:
                bound = self.servers[0].sockets[0].getsockname()
                listening(f"http://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}")

    try:
        Announced(config).run()
    except SystemExit as stopped:  # how uvicorn says that the port is taken
        raise StorageError(f"cannot listen on {host}:{port}; is the port taken?") from stopped
    except OSError as error:
        raise StorageError(f"cannot listen on {host}:{port}: {error.strerror or error}.") from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _log_lines() -> None:
    log = logging.getLogger("worldsim.registry.service")
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
