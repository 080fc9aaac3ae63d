"""A registry's service in a process of its own, for benchmarks: its address, its answers, its memory."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worldsim.errors import ConfigurationError

__all__ = ["Service", "served"]


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: where it is, what a writer must send, which process it is."""

    url: str
    token: str
    pid: int

    @property
    def resident_bytes(self) -> int:
        """The memory that it holds now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def served(address: str) -> Iterator[Service]:
    """Serve the registry at `address` from another process until the block ends.

    Raises:
        ConfigurationError: it did not start.
    """
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "worldsim", "registry", "serve", address, "--port", "0", "--rate", "100000"]
    environment = os.environ | {"WORLDSIM_REGISTRY_TOKEN": token}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        line = server.stdout.readline() if server.stdout is not None else ""
        if "http://" not in line:
            raise ConfigurationError("the service did not start; try 'worldsim registry serve' to see why.")
        yield Service(line.split()[-1], token, server.pid)
    finally:
        server.terminate()
        server.wait(30.0)
        if server.stdout is not None:
            server.stdout.close()
