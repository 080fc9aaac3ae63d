"""A service to test against, in this process or in one of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("fastapi", reason="the service needs worldsim-lab[server]")
import uvicorn

from worldsim.registry import StoredRegistry
from worldsim.registry.service import create_app

TOKEN = "a-token-for-tests"


class Running:
    """A service in this process, on a free port."""

    def __init__(self, registry: StoredRegistry, port: int = 0, **options) -> None:
        config = uvicorn.Config(create_app(registry, token=TOKEN, **options), "127.0.0.1", port, log_level="error")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        deadline = time.monotonic() + 30.0
        while not self.server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30.0)


class Served:
    """``worldsim registry serve`` in a process of its own, which can be frozen and killed."""

    def __init__(self, address: str, port: int = 0) -> None:
        command = [sys.executable, "-m", "worldsim", "registry", "serve", address, "--port", str(port)]
        self.process = subprocess.Popen(
            [*command, "--token", TOKEN], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.url = self.process.stdout.readline().split()[-1]
        self.port = int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(30.0)
        self.process.stdout.close()
