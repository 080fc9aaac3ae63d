"""PyBullet comes without its greeting, and errors are heard again afterwards."""

from __future__ import annotations

import subprocess
import sys


def test_pybullet_says_nothing_and_standard_error_is_as_before() -> None:
    code = "import sys, worldsim.simulation.bullet; print('heard', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "heard\n")


def test_pybullet_is_imported_where_standard_error_is_closed() -> None:
    code = "import os; os.close(2); from worldsim.simulation.bullet_module import bullet; print(bullet.DIRECT)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.split() == ["2"]
