"""Third parties' plug-ins: a stranger's object model is listed and used, a broken one is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from worldsim import contracts
from worldsim.contracts.agent import Agent
from worldsim.errors import UnknownNameError
from worldsim.plugins import load_plugin, plugin_names

PACKAGES = Path(__file__).resolve().parent / "plugin_package"
GROUPS = {
    "worldsim.object_models": contracts.ObjectModel,
    "worldsim.interactions": contracts.Interaction,
    "worldsim.scenarios": contracts.Scenario,
    "worldsim.agents": Agent,
    "worldsim.planners": contracts.Planner,
}


def install(name: str, folder: Path) -> dict[str, str]:
    """Install a package of `tests/plugin_package` into `folder`; return an environment that finds it there."""
    source = folder / "source"
    shutil.copytree(PACKAGES / name, source)  # a build writes beside its sources
    target = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", target]
    done = subprocess.run([*command, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return os.environ | {"PYTHONPATH": str(target)}


@pytest.fixture(scope="module")
def with_balloon(tmp_path_factory):
    return install("balloon", tmp_path_factory.mktemp("balloon"))


@pytest.fixture(scope="module")
def with_broken(tmp_path_factory):
    return install("broken", tmp_path_factory.mktemp("broken"))


def run(environment, *arguments):
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(("group", "base"), GROUPS.items())
def test_every_built_in_part_comes_by_entry_point_and_keeps_its_contract(group, base):
    names = [name for name, point in plugin_names(group).items() if point.dist and point.dist.name == "worldsim-lab"]
    assert names
    for name in names:
        assert issubclass(load_plugin(group, name, base), base)


def test_an_object_models_name_in_the_table_is_its_family():
    for name in plugin_names("worldsim.object_models"):
        assert load_plugin("worldsim.object_models", name, contracts.ObjectModel).family == name


def test_an_unknown_plugin_lists_the_known_ones_and_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'cat'"):
        load_plugin("worldsim.object_models", "catt", contracts.ObjectModel)


def test_a_strangers_object_model_is_listed_and_keeps_the_contract(with_balloon):
    done = run(with_balloon, "-m", "worldsim", "list", "models", "--check", "--json")
    assert done.returncode == 0, done.stderr
    assert {"name": "balloon", "class": "worldsim_balloon:Balloon", "distribution": "worldsim-balloon"} in json.loads(
        done.stdout
    )["items"]


def test_a_broken_plugin_is_named_when_it_is_used_and_leaves_the_others_alone(with_broken):
    listed = run(with_broken, "-m", "worldsim", "list", "models")
    checked = run(with_broken, "-m", "worldsim", "list", "models", "--check")
    assert listed.returncode == 0, listed.stderr
    assert checked.returncode == 1
    assert len(checked.stderr.splitlines()) == 1
    for word in ("'unwritten'", "'worldsim-broken'", "worldsim_broken:Unwritten", "dynamics"):
        assert word in checked.stderr
