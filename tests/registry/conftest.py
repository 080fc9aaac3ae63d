"""Registries to test on; a PostgreSQL server of its own is started for the run, where one is installed."""

from __future__ import annotations

import glob
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from worldsim.registry import StoredRegistry, open_registry
from worldsim.types import Descriptor, ModelCard, ParameterPrior, Shape


@pytest.fixture
def cat_card() -> ModelCard:
    """A card that nothing is wrong with."""
    return ModelCard(
        model_id="cat/test-cat",
        version=0,
        kind="cat",
        family="cat",
        parameters=(
            ParameterPrior("burst_speed_m_s", 1.8, 0.17, "m/s", "log"),
            ParameterPrior("brake_per_s", 4.0, 0.25, "1/s", "log"),
            ParameterPrior("flee_gain_per_s", 4.0, 0.25, "1/s", "log"),
            ParameterPrior("flee_distance_m", 2.5, 0.2, "m", "log"),
            ParameterPrior("wander_noise", 1.5, 0.4, "m^2/s^3", "log"),
        ),
        shape=Shape("box", (0.45, 0.16, 0.30), (0.03, 0.01, 0.02)),
        descriptor=Descriptor(tuple([0.5] * 12), tuple([0.05] * 12), {"speed_mean": 0.8, "height": 0.0}),
        provenance="Written for a test.",
        tags=("test",),
    )


@pytest.fixture
def address(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def registry(address):
    with open_registry(address) as found:
        yield found


@pytest.fixture
def builtin() -> StoredRegistry:
    with open_registry("builtin") as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def any_address(request) -> str:
    """An empty database of either kind: what holds for one holds for the other."""
    return request.getfixturevalue("address" if request.param == "sqlite" else "postgresql")


@pytest.fixture
def any_registry(any_address):
    with open_registry(any_address) as found:
        yield found


def program(name: str) -> str | None:
    """Where a PostgreSQL program lies: Debian keeps them outside the path."""
    debian = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return debian[-1] if debian else shutil.which(name)


def _open_the_way_to(folder: Path) -> None:
    """Let others than the owner pass, as far up as pytest makes folders for itself alone."""
    for parent in (folder, *folder.parents):
        if parent == Path(tempfile.gettempdir()).resolve():
            break
        parent.chmod(0o755)


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory):
    initdb, pg_ctl = program("initdb"), program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    folder = Path(tmp_path_factory.mktemp("postgresql"))
    before: list[str] = []
    if os.geteuid() == 0:  # it refuses to run as root
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("PostgreSQL does not run as root, and setpriv is not installed")
        _open_the_way_to(folder)
        os.chown(folder, 65534, 65534)
        before = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL, "cwd": folder}
    made = subprocess.run([*before, initdb, "-D", data, "-U", "worldsim", "-A", "trust", "-N"], check=False, **quiet)
    if made.returncode != 0:
        pytest.skip("initdb does not work here")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    start = [*before, pg_ctl, "-D", data, "-w", "-t", "30", "-l", folder / "log", "-o", options, "start"]
    assert subprocess.run(start, check=False, **quiet).returncode == 0, (folder / "log").read_text()
    yield f"postgresql://worldsim@127.0.0.1:{port}"
    _open_the_way_to(folder)  # another pytest that began meanwhile has closed it again
    subprocess.run([*before, pg_ctl, "-D", data, "-m", "immediate", "stop"], check=True, **quiet)


@pytest.fixture
def postgresql(postgresql_server, request):
    psycopg = pytest.importorskip("psycopg", reason="PostgreSQL needs worldsim-lab[server]")

    name = f"t{abs(hash(request.node.nodeid))}"
    with psycopg.connect(f"{postgresql_server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    return f"{postgresql_server}/{name}"
