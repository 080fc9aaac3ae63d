"""What needs a package that is not installed says which extra brings it."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from worldsim.errors import ConfigurationError
from worldsim.extras import EXTRAS, advice, need
from worldsim.registry import open_registry
from worldsim_agents.sb3_agent import PPOAgent

SETUP = Path(__file__).resolve().parents[1] / "setup.cfg"


def test_the_table_names_extras_that_bring_the_package():
    setup = configparser.ConfigParser()
    setup.read(SETUP, encoding="utf-8")
    brought = dict(setup["options.extras_require"])
    for package, extra in EXTRAS.items():
        names = brought[extra].lower().replace("-", "_")
        assert package in names, (package, extra)


def test_a_missing_package_is_told_with_its_extra(monkeypatch, tmp_path):
    for package in ("mujoco", "stable_baselines3", "psycopg"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=r"transfer warehouse needs mujoco: pip install 'worldsim-lab\[mujoco"):
        need("mujoco", "transfer warehouse")
    with pytest.raises(ConfigurationError, match=r"agent 'ppo' needs stable_baselines3: .*worldsim-lab\[train\]"):
        PPOAgent.load(tmp_path)
    with pytest.raises(ConfigurationError, match=r"PostgreSQL needs psycopg: .*worldsim-lab\[server\]"):
        open_registry("postgresql://nobody@nowhere/nothing")
    assert advice("torch") is None


def test_the_command_line_has_a_line_for_every_such_package():
    code = (
        "import sys\nfrom worldsim import cli\n"
        "def broken():\n    raise ModuleNotFoundError(\"No module named 'minari.data'\", name='minari.data')\n"
        "cli.build = lambda: broken\ncli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "worldsim: error: minari.data is not installed: pip install 'worldsim-lab[train]'.\n"
