"""Data sets are found, verified, converted from their originals, resumed and refused."""

import http.server
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from worldsim.errors import DataError, UnknownNameError
from worldsim.evaluation import data_fetch
from worldsim.evaluation.data_conversion import ORIGINALS, item_sha256
from worldsim.evaluation.data_fetch import fetch, states
from worldsim.evaluation.datasets import (
    DATASETS,
    array_sha256,
    data_folders,
    find_data,
    manifest,
    mismatches,
    write_folder,
)
from worldsim.evaluation.protocol_r import load_tosses
from worldsim.simulation.recordings.tosses import load_cube_tosses


class Mirror:
    """A loopback server of files, which counts what was asked of it and can be told to fail."""

    def __init__(self, root: Path) -> None:
        self.root, self.asked, self.failures = root, [], 0
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                path = mirror.root / urllib.parse.unquote(self.path).lstrip("/")
                if mirror.failures > 0:
                    mirror.failures -= 1
                    self.send_error(503)
                elif path.is_file():
                    body = path.read_bytes()
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                else:
                    self.send_error(404)

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def put(self, name: str, path: str, content: bytes) -> None:
        originals = ORIGINALS[name]
        place = self.root / originals.repository / originals.refs[0] / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setattr(data_fetch, "_FIRST_WAIT_S", 0.01)
    served = Mirror(tmp_path / "mirror")
    yield served
    served.close()


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict]:
    """Stand a small table of contents in for the shipped one, so that originals can be built here."""
    table: dict[str, dict] = {"datasets": {}}
    for module in ("datasets", "data_conversion", "data_fetch"):
        monkeypatch.setattr(f"worldsim.evaluation.{module}.manifest", lambda: table)
    return table["datasets"]


def _publish(published: dict, name: str, arrays: dict[str, np.ndarray], **items: object) -> None:
    sums = {key: {"shape": list(a.shape), "sha256": array_sha256(a)} for key, a in arrays.items()}
    published[name] = {"arrays": sums, "items": items}


def _crowd(mirror: Mirror, published: dict) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {}
    for scene in ("zara01", "zara02", "students03"):
        table = rng.normal(size=(5, 8)).round(6)
        text = "\n".join("   ".join(f"{value:.6e}" for value in row) for row in table)
        mirror.put("crowd", f"datasets/UCY/{scene}/obsmat.txt", text.encode())
        arrays[scene] = table[:, [0, 1, 2, 4, 5, 7]].astype(np.float32)
    _publish(published, "crowd", arrays)
    return arrays


def _tensor_bytes(tensor: torch.Tensor, path: Path) -> bytes:
    torch.save(tensor, path)
    return path.read_bytes()


def test_a_named_folder_is_the_only_place_looked_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLDSIM_DATA", str(tmp_path))
    assert data_folders() == (tmp_path,)
    assert write_folder() == tmp_path
    with pytest.raises(DataError, match="worldsim data fetch crowd"):
        find_data("crowd")
    with pytest.raises(UnknownNameError, match="Did you mean 'crowd'"):
        find_data("crowds")
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "ucy_crowds.npz").touch()
    assert find_data("crowd") == tmp_path / "agents" / "ucy_crowds.npz"


def test_without_it_the_users_cache_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLDSIM_DATA", raising=False)
    assert data_folders()[0].parts[-2:] == ("shared", "data")
    assert "worldsim" in write_folder().parts


def test_every_set_has_its_checksums_and_whatever_the_shipped_files_are_they_agree() -> None:
    shipped = manifest()["datasets"]
    assert shipped.keys() == DATASETS.keys()
    for state in states(list(DATASETS)):
        assert shipped[state.entry.name]["file"] == state.entry.file
        assert state.status in ("verified", "absent"), state.problems


def test_a_checksum_is_of_the_values_and_the_shape_not_of_the_file() -> None:
    a = np.arange(6, dtype=np.float32)
    assert array_sha256(a) == array_sha256(np.repeat(a, 2)[::2])
    assert len({array_sha256(x) for x in (a, a.reshape(2, 3), a.astype(np.float64), a + 1)}) == 4


def test_an_altered_array_is_named() -> None:
    found = mismatches("crowd", {"zara01": np.zeros((5024, 6), np.float32), "zara02": np.zeros((2, 6), np.float32)})
    assert found == (
        "array 'students03' is missing",
        "array 'zara01' has other values than the published ones",
        "array 'zara02' has shape [2, 6], expected [9537, 6]",
    )


def test_the_crowd_is_downloaded_and_converted(tmp_path: Path, mirror: Mirror, published: dict) -> None:
    arrays = _crowd(mirror, published)
    told: list[tuple[str, int, int]] = []
    path = fetch("crowd", folder=tmp_path / "data", mirror=mirror.url, progress=lambda *step: told.append(step))
    with np.load(path) as file:
        for name, table in arrays.items():
            np.testing.assert_array_equal(file[name], table)
        assert "OpenTraj" in str(file["meta"])
    assert told[-1] == ("crowd", 3, 3)
    assert not (tmp_path / "data" / ".originals" / "crowd").exists()


def test_what_is_there_and_right_is_not_fetched_again(tmp_path: Path, mirror: Mirror, published: dict) -> None:
    _crowd(mirror, published)
    for _ in range(2):
        fetch("crowd", folder=tmp_path / "data", mirror=mirror.url)
    assert len(mirror.asked) == 3


def test_a_fetch_goes_on_where_it_broke_off(tmp_path: Path, mirror: Mirror, published: dict) -> None:
    _crowd(mirror, published)
    last = (
        mirror.root / ORIGINALS["crowd"].repository / ORIGINALS["crowd"].refs[0] / "datasets/UCY/students03/obsmat.txt"
    )
    content = last.read_bytes()
    last.unlink()
    with pytest.raises(DataError, match="404"):
        fetch("crowd", folder=tmp_path / "data", mirror=mirror.url)
    mirror.asked.clear()
    last.write_bytes(content)
    fetch("crowd", folder=tmp_path / "data", mirror=mirror.url)
    assert [path.split("/")[-2] for path in mirror.asked] == ["students03"]


def test_another_commit_is_asked_where_the_first_is_not_served(tmp_path: Path, mirror: Mirror, published: dict) -> None:
    _crowd(mirror, published)
    crowd = ORIGINALS["crowd"]
    (mirror.root / crowd.repository / crowd.refs[0]).rename(mirror.root / crowd.repository / crowd.refs[-1])
    fetch("crowd", folder=tmp_path / "data", mirror=mirror.url)
    assert len(mirror.asked) == 3 * len(crowd.refs)


def test_a_busy_server_is_asked_again(tmp_path: Path, mirror: Mirror, published: dict) -> None:
    _crowd(mirror, published)
    mirror.failures = 2
    assert fetch("crowd", folder=tmp_path / "data", mirror=mirror.url).is_file()


def test_altered_originals_are_refused_and_nothing_is_written(tmp_path: Path, mirror: Mirror, published: dict) -> None:
    _crowd(mirror, published)
    mirror.put("crowd", "datasets/UCY/zara02/obsmat.txt", b"1 2 3 4 5 6 7 8\n")
    with pytest.raises(DataError, match=r"zara02.*Nothing was written"):
        fetch("crowd", folder=tmp_path / "data", mirror=mirror.url)
    assert not (tmp_path / "data" / "agents" / "ucy_crowds.npz").exists()
    mirror.put("crowd", "datasets/UCY/zara02/obsmat.txt", b"<html>not a table</html>")


def test_no_network_is_said_plainly(tmp_path: Path, mirror: Mirror) -> None:
    mirror.close()
    with pytest.raises(DataError, match=r"cannot download .*--from DIR"):
        fetch("crowd", folder=tmp_path / "data", mirror=mirror.url)


def test_cube_tosses_are_converted_from_half_widths(tmp_path: Path, mirror: Mirror, published: dict) -> None:
    rng = np.random.default_rng(1)
    states = [torch.tensor(rng.normal(size=(1, frames, 19))) for frames in (4, 6)]
    for state in states:
        state[..., 3:7] = torch.nn.functional.normalize(state[..., 3:7], dim=-1)
    for toss, state in zip((3, 8), states, strict=True):
        mirror.put("cube-toss", f"data/tosses_processed/{toss}.pt", _tensor_bytes(state, tmp_path / "toss.pt"))
    rows = torch.cat([state[0] for state in states]).numpy()
    arrays = {
        "pos": (rows[:, :3] * 0.0524).astype(np.float32),
        "quat_wxyz": rows[:, 3:7].astype(np.float32),
        "vel": (rows[:, 7:10] * 0.0524).astype(np.float32),
        "angvel_body": rows[:, 10:13].astype(np.float32),
        "offsets": np.array([0, 4, 10], np.int32),
        "toss_id": np.array([3, 8], np.int16),
        "split": np.array([1, 0], np.int8),
    }
    _publish(published, "cube-toss", arrays, toss_id=[3, 8], split=[1, 0])
    with np.load(fetch("cube-toss", folder=tmp_path / "data", mirror=mirror.url)) as file:
        for name, array in arrays.items():
            np.testing.assert_array_equal(file[name], array)
    path = tmp_path / "data" / "cube_toss" / "cube_toss.npz"
    assert load_tosses(path, "train").rate_hz == 148.0  # what was fetched can be used
    assert np.diff(load_cube_tosses(path)[0].time_s) == pytest.approx(1.0 / 148.0)
    np.savez(path, **arrays, meta="{}")  # as an earlier fetch wrote it
    fetch("cube-toss", folder=tmp_path / "data", mirror=mirror.url)
    assert load_tosses(path, "train").rate_hz == 148.0


def test_a_damaged_file_is_fetched_again(tmp_path: Path, mirror: Mirror, published: dict) -> None:
    _crowd(mirror, published)
    path = fetch("crowd", folder=tmp_path / "data", mirror=mirror.url)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert fetch("crowd", folder=tmp_path / "data", mirror=mirror.url) == path
    with np.load(path) as file:
        assert set(file.files) == {"zara01", "zara02", "students03", "meta"}


def test_a_damaged_original_is_not_kept(tmp_path: Path, mirror: Mirror, published: dict) -> None:
    arrays = _crowd(mirror, published)
    good = mirror.root / ORIGINALS["crowd"].repository / ORIGINALS["crowd"].refs[0] / "datasets/UCY/zara02/obsmat.txt"
    content = good.read_bytes()
    for damaged in (b"1 2 3 4 5 6 7 8\n", b"<html>not a table</html>"):
        good.write_bytes(damaged)
        with pytest.raises(DataError):
            fetch("crowd", folder=tmp_path / "data", mirror=mirror.url)
    good.write_bytes(content)
    with np.load(fetch("crowd", folder=tmp_path / "data", mirror=mirror.url)) as file:
        np.testing.assert_array_equal(file["zara02"], arrays["zara02"])


def test_items_are_known_by_their_values_and_others_stay_out(
    tmp_path: Path, mirror: Mirror, published: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worldsim.evaluation.data_conversion._PLANAR_DROPS", 3)
    drops = np.random.default_rng(2).normal(size=(3, 4, 6)).round(5)
    for number, drop in enumerate(drops, start=1):
        text = "x,z,th,vx,vz,vth\n" + "\n".join(",".join(map(str, row)) for row in drop)
        mirror.put("planar-drop", f"Wang/Wang-Mason Square/dice-data-processed/traj_{number}.csv", text.encode())
    kept = drops[[2, 0]].astype(np.float32)
    arrays = {"square": kept, "split": np.array([0, 1], np.int8)}
    _publish(published, "planar-drop", arrays, sha256=[item_sha256(drop) for drop in kept], split=[0, 1])
    with np.load(fetch("planar-drop", folder=tmp_path / "data", mirror=mirror.url)) as file:
        np.testing.assert_array_equal(file["square"], kept)
    published["planar-drop"]["items"]["sha256"].append("0" * 64)
    (tmp_path / "data" / "planar_drop" / "planar_drop.npz").unlink()
    with pytest.raises(DataError, match="1 of its 3 items are not among the 3 downloaded"):
        fetch("planar-drop", folder=tmp_path / "data", mirror=mirror.url)


def test_elbow_tosses_are_split_into_their_columns(
    tmp_path: Path, mirror: Mirror, published: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worldsim.evaluation.data_conversion._ELBOW_TOSSES", 1)
    toss = torch.tensor(np.random.default_rng(3).normal(size=(5, 15)).astype(np.float32))
    mirror.put("elbow-toss", "assets/contactnets_elbow/0.pt", _tensor_bytes(toss, tmp_path / "elbow.pt"))
    rows = toss.numpy()[None]
    arrays = {
        "quat_wxyz": rows[..., 0:4],
        "pos": rows[..., 4:7],
        "joint": rows[..., 7],
        "angvel_body": rows[..., 8:11],
        "vel": rows[..., 11:14],
        "joint_vel": rows[..., 14],
        "split": np.zeros(1, np.int8),
    }
    sha = item_sha256(*(arrays[k][0] for k in ("quat_wxyz", "pos", "joint", "angvel_body", "vel", "joint_vel")))
    _publish(published, "elbow-toss", arrays, sha256=[sha], split=[0])
    with np.load(fetch("elbow-toss", folder=tmp_path / "data", mirror=mirror.url)) as file:
        np.testing.assert_array_equal(file["joint_vel"], arrays["joint_vel"])


def test_pendulum_logs_are_read_by_column_name(tmp_path: Path, mirror: Mirror, published: dict) -> None:
    text = (
        "tau_meas2,time,pos_meas1,pos_meas2,vel_meas1,vel_meas2,tau_con1,tau_con2,tau_meas1,pos_filt1\n"
        "8,0.0,1,2,3,4,5,6,7,99\n,0.002,1,2,3,4,5,6,7,99\n"
    )
    mirror.put("double-pendulum", "runs/one.csv", text.encode())
    data = np.array([[0.0, 1, 2, 3, 4, 5, 6, 7, 8], [0.002, 1, 2, 3, 4, 5, 6, 7, np.nan]], np.float32)
    arrays = {"data": data, "offsets": np.array([0, 2], np.int32), "names": np.array(["runs/one.csv"], "<U99")}
    _publish(published, "double-pendulum", arrays, names=["runs/one.csv"])
    with np.load(fetch("double-pendulum", folder=tmp_path / "data", mirror=mirror.url)) as file:
        np.testing.assert_array_equal(file["data"], data)
    mirror.put("double-pendulum", "runs/one.csv", b"time,pos_meas1\n0,1\n")
    (tmp_path / "data" / "double_pendulum" / "double_pendulum_dfki.npz").unlink()
    with pytest.raises(DataError, match="lacks the columns"):
        fetch("double-pendulum", folder=tmp_path / "data", mirror=mirror.url)


def test_a_tensor_file_that_holds_code_is_not_run(tmp_path: Path, mirror: Mirror, published: dict) -> None:
    _publish(published, "cube-toss", {"pos": np.zeros((1, 3), np.float32)}, toss_id=[1], split=[0])
    torch.save({"state": Path("x")}, tmp_path / "odd.pt")
    mirror.put("cube-toss", "data/tosses_processed/1.pt", (tmp_path / "odd.pt").read_bytes())
    with pytest.raises(DataError, match="is no tensor file"):
        fetch("cube-toss", folder=tmp_path / "data", mirror=mirror.url)


def test_a_copy_is_verified_too(tmp_path: Path, published: dict) -> None:
    arrays = {"xy": np.ones((3, 2), np.float32)}
    _publish(published, "cats", arrays)
    source = tmp_path / "source"
    source.mkdir()
    np.savez(source / "cats_uk.npz", **arrays, meta="{}")
    assert fetch("cats", source=source, folder=tmp_path / "data").is_file()
    np.savez(source / "cats_uk.npz", xy=np.zeros((3, 2), np.float32))
    with pytest.raises(DataError, match="other values"):
        fetch("cats", source=source, folder=tmp_path / "elsewhere")
    with pytest.raises(DataError, match="is a file"):
        fetch("cats", source=tmp_path / "nowhere", folder=tmp_path / "elsewhere")
    with pytest.raises(DataError, match="no simple conversion"):
        fetch("cats", folder=tmp_path / "elsewhere")
    (source / "cats_uk.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(DataError, match="damaged"):
        fetch("cats", source=source, folder=tmp_path / "elsewhere")
    (tmp_path / "file").touch()
    np.savez(source / "cats_uk.npz", **arrays)
    with pytest.raises(DataError, match="cannot write"):
        fetch("cats", source=source, folder=tmp_path / "file")
