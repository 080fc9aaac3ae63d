"""The service and its client, over a real socket where that matters."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pytest

fastapi = pytest.importorskip("fastapi", reason="the service needs worldsim-lab[server]")
from tests.registry.serving import TOKEN, Running  # noqa: E402
from worldsim.errors import (  # noqa: E402
    CardError,
    ConfigurationError,
    ModelNotFoundError,
    RegistryError,
    StorageError,
    WorldsimError,
)
from worldsim.models.cat import Cat  # noqa: E402
from worldsim.registry import HttpRegistry, StoredRegistry, from_pretrained, open_registry  # noqa: E402
from worldsim.registry.blob_cache import BlobCache  # noqa: E402
from worldsim.registry.builtin import shipped_models  # noqa: E402
from worldsim.registry.framing import MEDIA_TYPE, pack_model  # noqa: E402
from worldsim.registry.gateway import Limits  # noqa: E402
from worldsim.registry.maintenance import verify  # noqa: E402
from worldsim.registry.service import create_app  # noqa: E402
from worldsim.registry.serving import run_service  # noqa: E402
from worldsim.types import InteractionQuery, Query  # noqa: E402

CAT = Query(extent_m=(0.45, 0.16, 0.30), motion={"speed_mean": 0.8})


@pytest.fixture
def stored(address) -> StoredRegistry:
    with open_registry(address) as registry:
        registry.store_checked(list(shipped_models()))
        yield registry


@pytest.fixture
def running(stored):
    service = Running(stored)
    yield service
    service.stop()


@pytest.fixture
def client(running, tmp_path):
    with HttpRegistry(running.url, token=TOKEN, cache=BlobCache(tmp_path / "cache")) as registry:
        yield registry


def test_the_client_says_what_the_registry_behind_it_says(client, stored, cat_card):
    assert len(client) == len(stored)
    assert client.cards() == stored.cards()
    assert client.cards(tag="starter") == stored.cards(tag="starter")
    assert client.search(CAT) == stored.search(CAT)
    found = client.search(CAT).cards[0]
    assert client.fetch(found.model_id).card == stored.fetch(found.model_id).card
    assert client.publish(Cat(cat_card)) == "cat/test-cat@1"
    assert stored.fetch("cat/test-cat").card.provenance == cat_card.provenance
    assert client.publish(Cat(cat_card.replace(provenance="second"))) == "cat/test-cat@2"
    client.set_alias("cat/test-cat", "champion", 1)
    assert client.aliases("cat/test-cat") == {"champion": 1}
    assert client.versions("cat/test-cat") == [1, 2]


def test_errors_cross_the_wire_as_what_they_are(client):
    with pytest.raises(ModelNotFoundError, match="no model 'cat/nobody'"):
        client.fetch("cat/nobody")
    with pytest.raises(CardError, match="model id"):
        client.fetch("../../etc/passwd")


def test_after_a_search_the_models_are_here_already(client, running):
    found = client.search(CAT)
    running.stop()
    assert len(found.cards) > 1
    for card in found.cards:
        assert client.fetch(card.model_id).card == card


def test_offline_what_was_fetched_before_is_there_and_the_rest_is_refused(client, running, tmp_path):
    card = client.search(CAT).cards[0]
    with HttpRegistry(running.url, cache=BlobCache(tmp_path / "cache"), offline=True) as offline:
        assert offline.fetch(card.model_id).card == card
        with pytest.raises(StorageError, match="opened offline"):
            offline.search(CAT)


def test_a_server_that_is_away_is_a_storage_error_with_advice(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with (
            HttpRegistry(url, cache=BlobCache(tmp_path), attempts=2) as away,
            pytest.raises(StorageError, match=r"cannot be reached.*Is 'worldsim registry serve' running"),
        ):
            away.search(CAT)


def test_a_client_survives_a_server_that_comes_back(client, running, stored):
    before = client.search(CAT)
    running.stop()
    back = threading.Timer(0.3, lambda: started.append(Running(stored, running.port)))
    started: list[Running] = []
    back.start()
    try:
        deadline = time.monotonic() + 20.0
        while True:
            try:
                assert client.search(CAT) == before
                break
            except StorageError:
                assert time.monotonic() < deadline
    finally:
        back.join()
        started[0].stop()


def test_the_stock_hugging_face_client_downloads_a_whole_model(client, running, stored, tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # offline but for this machine
    model_id = stored.search(CAT).cards[0].model_id
    folder = Path(hub.snapshot_download(model_id, endpoint=running.url, cache_dir=tmp_path / "hub", token=False))
    assert sorted(f.name for f in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert from_pretrained(folder).card == stored.fetch(model_id).card
    model = stored.fetch(model_id)
    assert stored.publish(type(model)(model.card.replace(provenance="second"))) == f"{model_id}@2"
    stored.set_alias(model_id, "champion", 1)
    again = hub.snapshot_download(
        model_id, revision="champion", endpoint=running.url, cache_dir=tmp_path / "h2", token=False
    )
    assert from_pretrained(again).card.version == 1


def test_a_download_may_resume_by_range(running, stored):
    card, data = stored.fetch_bytes(stored.search(CAT).cards[0].model_id)
    url = f"{running.url}/{card.model_id}/resolve/main/model.safetensors"
    part = httpx.get(url, headers={"Range": "bytes=100-"})
    assert part.status_code == 206
    assert part.content == data[100:]
    assert httpx.get(url, headers={"Range": f"bytes={len(data)}-"}).status_code == 416
    assert int(httpx.head(url).headers["content-length"]) == len(data)


def test_nobody_writes_without_the_token(running, stored, cat_card, tmp_path):
    before = len(stored)
    for token in (None, "wrong"):
        with (
            HttpRegistry(running.url, token=token, cache=BlobCache(tmp_path)) as stranger,
            pytest.raises(RegistryError, match=r"401.*Give it in the variable WORLDSIM_REGISTRY_TOKEN"),
        ):
            stranger.publish(Cat(cat_card))
    assert len(stored) == before


BLANK = ["", " ", " x", "x\n", "t\u00f6ken"]


@pytest.mark.parametrize("token", BLANK)
def test_a_token_that_is_none_starts_no_service(stored, token):
    for start in (
        lambda: create_app(stored, token=token),
        lambda: run_service(stored, "0.0.0.0", 0, token=token),
    ):
        with pytest.raises(ConfigurationError, match=r"a token of \d characters, expected one or more"):
            start()


def test_the_command_says_so_in_one_line(address):
    command = [sys.executable, "-m", "worldsim", "registry", "serve", address, "--port", "0", "--token", ""]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "a token of 0 characters" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("token", BLANK[1:])
def test_a_client_refuses_a_token_that_cannot_travel(tmp_path, monkeypatch, token):
    monkeypatch.setenv("WORLDSIM_REGISTRY_TOKEN", token)
    with pytest.raises(ConfigurationError, match="WORLDSIM_REGISTRY_TOKEN"):
        HttpRegistry("http://far", cache=BlobCache(tmp_path))


@pytest.mark.parametrize("rate", [math.inf, math.nan, 0.0])
def test_a_rate_that_is_none_starts_no_service(stored, rate):
    with pytest.raises(ConfigurationError, match="requests a second, finite and above 0"):
        run_service(stored, port=0, requests_per_s=rate)


class Page(BaseHTTPRequestHandler):
    """What serves HTTP and is no registry: every path is a web page, those below /old lie elsewhere."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/old"):
            self.send_response(301)
            self.send_header("Location", "http://elsewhere/registry")
        else:
            self.send_response(200)
        body = b"<html>hello</html>"
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the names that the base class calls

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(params=["", "/old"])
def page(request):
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}{request.param}"
        server.shutdown()
        thread.join(30.0)


def test_what_is_no_registry_is_told_as_such(page, tmp_path, cat_card):
    with HttpRegistry(page, token=TOKEN, cache=BlobCache(tmp_path)) as client:
        for call in (
            client.cards,
            client.__len__,
            client.interactions.cards,
            lambda: client.versions("cat/test-cat"),
            lambda: client.aliases("cat/test-cat"),
            lambda: client.interactions.versions("cat/test-cat"),
            lambda: client.interactions.search(InteractionQuery()),
            lambda: client.publish(Cat(cat_card)),
        ):
            with pytest.raises(RegistryError, match=r"which no registry says|301: it lies at http://elsewhere/"):
                call()
        for call in (lambda: client.search(CAT), lambda: client.fetch("cat/test-cat")):
            with pytest.raises(WorldsimError, match=r"body of|the whole card|301"):
                call()


def test_beyond_loopback_readers_need_the_token_too(stored):
    service = Running(stored, readers_need_token=True)
    try:
        assert httpx.get(f"{service.url}/v1/stats").status_code == 401
        assert httpx.get(f"{service.url}/api/models/cat/x").status_code == 401
        assert httpx.get(f"{service.url}/health").status_code == 200
        assert httpx.get(f"{service.url}/v1/stats", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    finally:
        service.stop()


def test_too_much_and_too_often_are_refused(stored):
    service = Running(stored, limits=Limits(body_bytes=1000, requests_per_s=1.0, burst=3))
    try:
        with httpx.Client(base_url=service.url) as http:
            assert http.post("/v1/search", content=b"x" * 2000).status_code == 413
            pieces = (b"x" * 600 for _ in range(5))  # sent in chunks, so that no length is announced
            assert http.post("/v1/search", content=pieces).status_code in (400, 413)
            assert [http.get("/health").status_code for _ in range(8)].count(429) >= 5
    finally:
        service.stop()


HOSTILE = {
    "a body that ends early": b"\x10\x00\x00\x00\x00\x00\x00\x00{}",
    "a header that claims gigabytes": (2**40).to_bytes(8, "little") + b"{}",
    "nothing": b"",
    "a pickle": b"\x80\x04cos\nsystem\n(S'echo pwned'\ntR.",
    "a long string": (10**6).to_bytes(8, "little") + b"x" * 10**6,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_body_is_a_4xx_and_nothing_is_stored(running, stored, name):
    before = len(stored)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": MEDIA_TYPE}
    answer = httpx.post(f"{running.url}/v1/models", content=HOSTILE[name], headers=headers)
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"] == "CardError"
    assert len(stored) == before
    assert verify(stored).findings == ()


def test_tensors_of_another_card_are_a_4xx(running, stored, cat_card):
    _, data = stored.fetch_bytes(stored.search(Query(kind="crate")).cards[0].model_id)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{running.url}/v1/models", content=pack_model(cat_card, data), headers=headers)
    assert answer.status_code == 422
    assert "expected float64" in answer.json()["detail"]
    assert not stored.versions("cat/test-cat")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # schemathesis's own dependencies
def test_no_request_that_the_description_allows_or_forbids_breaks_the_service(tmp_path):
    """Schemathesis makes requests from the OpenAPI description, good ones and bad ones; a 5xx is a failure."""
    schemathesis = pytest.importorskip("schemathesis")
    hypothesis = pytest.importorskip("hypothesis")
    with open_registry("builtin") as registry:
        before = len(registry)
        service = Running(registry, limits=Limits(requests_per_s=1e6, burst=10**6))
        schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")

        try:
            for operation in schema.get_all_operations():
                found = operation.ok()

                @hypothesis.given(case=found.as_strategy())
                @hypothesis.settings(max_examples=8, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
                def probe(case) -> None:
                    answer = case.call(headers={"Authorization": f"Bearer {TOKEN}"})
                    assert answer.status_code < 500, (case.method, case.path, answer.status_code)

                probe()
        finally:
            service.stop()
        assert len(registry) == before
        assert verify(registry).sound


def test_paths_that_climb_are_not_found(running):
    for path in (
        "/v1/models/../../etc/passwd",
        "/cat/x/resolve/main/..%2F..%2Fetc%2Fpasswd",
        "/v1/models/a%2Fb/%2e%2e",
    ):
        assert 400 <= httpx.get(f"{running.url}{path}").status_code < 500


def test_the_service_tells_its_health_and_counts(running):
    assert httpx.get(f"{running.url}/ready").json()["status"] == "ready"
    text = httpx.get(f"{running.url}/metrics").text
    assert 'worldsim_registry_requests_total{method="GET",route="/ready",status="200"} 1.0' in text
    assert "/v1/bundle" in httpx.get(f"{running.url}/openapi.json").json()["paths"]


def test_the_cache_keeps_to_its_size_and_forgets_what_is_damaged(tmp_path):
    from worldsim.registry.artefact import sha256_of

    cache = BlobCache(tmp_path, max_bytes=10_000)
    blobs = [np.random.default_rng(i).bytes(1000) for i in range(30)]
    for data in blobs:
        cache.put(sha256_of(data), data)
    kept = [f for f in (tmp_path / "blobs").rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in kept) <= 10_000
    last = sha256_of(blobs[-1])
    assert cache.get(last) == blobs[-1]
    (tmp_path / "blobs" / last[:2] / last).write_bytes(b"damaged")
    assert cache.get(last) is None


@pytest.mark.slow
def test_a_killed_server_has_kept_all_that_it_acknowledged(address, tmp_path, cat_card):
    """SIGKILL at random moments while a client publishes; the next server goes on from a sound registry."""
    rng = np.random.default_rng(0)
    acknowledged = 0
    for _ in range(3):
        command = [sys.executable, "-m", "worldsim", "registry", "serve", address, "--port", "0", "--token", TOKEN]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            url = server.stdout.readline().split()[-1]
            with HttpRegistry(url, token=TOKEN, cache=BlobCache(tmp_path / "c"), attempts=1) as client:
                # the first one pays for what is made once: it may take seconds
                client.publish(Cat(cat_card.replace(provenance=f"Number {acknowledged}.")))
                acknowledged += 1
                threading.Timer(float(rng.uniform(0.2, 0.8)), lambda s=server: os.kill(s.pid, signal.SIGKILL)).start()
                with pytest.raises(RegistryError):  # noqa: PT012 - as often as it can until it is killed
                    while True:
                        client.publish(Cat(cat_card.replace(provenance=f"Number {acknowledged}.")))
                        acknowledged += 1
        finally:
            server.kill()
            server.wait()
            server.stdout.close()
        with open_registry(address) as registry:
            versions = registry.versions("cat/test-cat")
            assert len(versions) >= acknowledged
            acknowledged = len(versions)  # one may have been stored whose acknowledgement was lost on the way
            assert verify(registry).sound
    assert acknowledged > 0


@pytest.mark.slow
def test_a_server_stops_when_it_is_asked_to(address):
    command = [sys.executable, "-m", "worldsim", "registry", "serve", address, "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout.readline().startswith("serving http://127.0.0.1:")
        server.terminate()
        assert server.wait(20.0) in (0, -signal.SIGTERM)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
