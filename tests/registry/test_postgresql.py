"""The same promises on PostgreSQL: a server of its own is started for the run, where one is installed."""

from __future__ import annotations

import glob
import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

pytest.importorskip("psycopg", reason="PostgreSQL needs worldsim-lab[server]")

from worldsim.errors import StorageError
from worldsim.models.cat import Cat
from worldsim.registry import open_registry
from worldsim.registry.builtin import shipped_models
from worldsim.registry.maintenance import collect_garbage, statistics, verify
from worldsim.types import Query

CAT = Query(extent_m=(0.45, 0.16, 0.30), motion={"speed_mean": 0.8})


def program(name: str) -> str | None:
    """Where a PostgreSQL program lies: Debian keeps them outside the path."""
    debian = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return debian[-1] if debian else shutil.which(name)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    initdb, pg_ctl = program("initdb"), program("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    folder = Path(tmp_path_factory.mktemp("postgresql"))
    before: list[str] = []
    if os.geteuid() == 0:  # it refuses to run as root
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("PostgreSQL does not run as root, and setpriv is not installed")
        for parent in (folder, *folder.parents[:2]):
            parent.chmod(0o755)
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
    subprocess.run([*before, pg_ctl, "-D", data, "-m", "immediate", "stop"], check=True, **quiet)


@pytest.fixture
def postgresql(server, request):
    import psycopg

    name = f"t{abs(hash(request.node.name))}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    return f"{server}/{name}"


def test_it_answers_as_the_built_in_registry_does(postgresql, builtin, cat_card):
    with open_registry(postgresql) as registry:
        registry.store_checked(list(shipped_models()))
        assert registry.cards() == builtin.cards()
        assert registry.cards(tag="starter") == builtin.cards(tag="starter")
        assert registry.search(CAT) == builtin.search(CAT)
        registry.publish(Cat(cat_card))
        registry.publish(Cat(cat_card.replace(provenance="second")))
        registry.set_alias("cat/test-cat", "champion", 1)
        assert registry.aliases("cat/test-cat") == {"champion": 1}
        assert registry.fetch("cat/test-cat", 1).card.provenance == "Written for a test."
        assert statistics(registry)["versions"] == len(registry) + 1
        assert verify(registry).findings == ()
        assert collect_garbage(registry).blobs == 0
    with open_registry(postgresql) as again:
        assert again.versions("cat/test-cat") == [1, 2]


def test_several_writers_lose_nothing(postgresql, cat_card):
    open_registry(postgresql).close()

    def write(name: str) -> None:
        with open_registry(postgresql) as registry:
            for _ in range(8):
                registry.publish(Cat(cat_card.replace(model_id=f"cat/{name}")))

    writers = [threading.Thread(target=write, args=(name,)) for name in ("left", "shared", "shared")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with open_registry(postgresql) as registry:
        assert registry.versions("cat/left") == list(range(1, 9))
        assert registry.versions("cat/shared") == list(range(1, 17))
        assert verify(registry).findings == ()


def test_a_server_that_is_not_there_is_a_storage_error():
    with pytest.raises(StorageError, match="Is the database server running"):
        open_registry("postgresql://worldsim@127.0.0.1:1/none")
