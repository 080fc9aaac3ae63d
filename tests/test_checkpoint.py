"""A world model that is saved goes on as the one that was not, and a file that is no checkpoint is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.small_world import Shelf, frames, model, run, world_model
from worldsim.engine.settings import LoopSettings, WorldModelSettings
from worldsim.errors import ConfigurationError, IntegrityError, PluginError, StorageError
from worldsim.interactions.push import Push
from worldsim.interactions.support import Support
from worldsim.loop import WorldModel
from worldsim.models.cat import Cat


def test_a_checkpoint_that_is_not_there_is_not_said_to_be_truncated(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"no checkpoint that can be read at .*nothing\.safetensors: No such file"):
        WorldModel.load(tmp_path / "nothing.safetensors")


def test_a_saved_model_may_be_read_by_whom_other_files_of_its_writer_may(tmp_path: Path) -> None:
    wm = world_model(Shelf())
    run(wm, list(frames(0.2)))
    wm.save(tmp_path / "wm.safetensors")
    (tmp_path / "beside.txt").write_text("an ordinary file")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("wm.safetensors", "beside.txt"), modes["beside.txt"])


class Homeless(Cat):
    """A class that no package declares."""

    family = "homeless"


def test_a_checkpoint_whose_class_is_not_installed_says_which(tmp_path: Path) -> None:
    mine = Homeless(model("cat").card.replace(model_id="homeless/tom", family="homeless"))
    WorldModel(models=[mine, model("generic")]).save(tmp_path / "wm.safetensors")
    with pytest.raises(PluginError, match=r"holds the model 'homeless/tom', whose class is not installed here"):
        WorldModel.load(tmp_path / "wm.safetensors")


def test_save_and_load_continue_bit_for_bit_in_a_new_process(tmp_path: Path) -> None:
    observations = list(frames(4.0, cat_from_s=2.0))
    wm = world_model(Shelf(model("cat")))
    run(wm, observations[:48])  # in the middle of the trial
    wm.save(tmp_path / "wm.safetensors")
    for observation in observations[48:]:
        wm.step(observation, np.zeros(3))
    wm.save(tmp_path / "straight.safetensors")
    script = (
        "import numpy as np\n"
        "from tests.small_world import Shelf, frames, model\n"
        "from worldsim.loop import WorldModel\n"
        f"wm = WorldModel.load({str(tmp_path / 'wm.safetensors')!r}, registry=Shelf(model('cat')))\n"
        "for o in list(frames(4.0, cat_from_s=2.0))[48:]:\n"
        "    wm.step(o, np.zeros(3))\n"
        f"wm.save({str(tmp_path / 'resumed.safetensors')!r})\n"
    )
    root = Path(__file__).resolve().parents[1]
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root)
    assert (tmp_path / "straight.safetensors").read_bytes() == (tmp_path / "resumed.safetensors").read_bytes()


def test_a_truncated_checkpoint_and_an_unwritable_place_are_clear_errors(tmp_path: Path) -> None:
    wm = world_model(Shelf())
    run(wm, list(frames(0.5)))
    path = tmp_path / "wm.safetensors"
    wm.save(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(IntegrityError, match="truncated"):
        WorldModel.load(path)
    with pytest.raises(StorageError, match="untouched"):
        wm.save(path / "under-a-file" / "wm.safetensors")


def test_a_checkpoint_of_kinds_that_are_no_plug_ins_is_continued_with_the_same_kinds(tmp_path):
    kinds, path = [Support(), Push()], tmp_path / "kept.safetensors"
    wm = world_model(None, surprise=False, interactions=kinds)
    seen = list(frames(0.6))
    for k, observation in enumerate(seen[:8]):
        _ = wm.step(observation) if k else wm.reset(observation)
    wm.save(path)
    with pytest.raises(ConfigurationError, match=r"with the interactions \['support', 'push'\], of which one cannot"):
        WorldModel.load(path)
    with pytest.raises(ConfigurationError, match="in this order; got"):
        WorldModel.load(path, interactions=kinds[::-1])
    again = WorldModel.load(path, interactions=kinds)
    for observation in seen[8:]:
        wm.step(observation)
        again.step(observation)
    assert torch.equal(wm.belief.position, again.belief.position)
    assert np.array_equal(wm.graph.probability, again.graph.probability)


def test_a_checkpoint_of_which_a_byte_was_altered_is_refused(tmp_path: Path) -> None:
    wm, path = world_model(Shelf()), tmp_path / "wm.safetensors"
    run(wm, list(frames(0.3)))
    wm.save(path)
    data = bytearray(path.read_bytes())
    with safe_open(path, framework="pt") as file:
        position = file.get_tensor("belief.position")
    at = bytes(data).index(position.numpy().tobytes())
    for place in (at + 3, at + position.numel() * position.element_size() - 1):
        altered = data.copy()
        altered[place] ^= 1
        path.write_bytes(bytes(altered))
        with pytest.raises(IntegrityError, match="is damaged: its contents do not have the checksum"):
            WorldModel.load(path)
    head = bytes(data).replace(b'\\"hold\\": 0.0', b'\\"hold\\": 1.0')
    assert head != bytes(data)
    path.write_bytes(head)
    with pytest.raises(IntegrityError, match="is damaged"):
        WorldModel.load(path)
    path.write_bytes(bytes(data))
    WorldModel.load(path)


def test_a_checkpoint_whose_times_are_in_the_precision_of_the_rest_is_continued(tmp_path):
    settings, path = WorldModelSettings(loop=LoopSettings(precision="float32")), tmp_path / "old.safetensors"
    wm, seen = world_model(None, surprise=False, settings=settings), list(frames(0.6))
    for k, observation in enumerate(seen[:8]):
        _ = wm.step(observation) if k else wm.reset(observation)
    wm.save(path)
    with safe_open(path, framework="pt") as file:
        told, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    head = json.loads(told["worldsim"])
    del head["sha256"]  # which such a file has not either
    told = {"worldsim": json.dumps(head)}
    for name in ("belief.last_seen_s", "belief.birth_s"):
        assert tensors[name].dtype == torch.float64
        tensors[name] = tensors[name].float()
    save_file(tensors, path, metadata=told)
    again = WorldModel.load(path)
    for observation in seen[8:]:
        again.step(observation)
    assert again.belief.last_seen_s.dtype == torch.float64
