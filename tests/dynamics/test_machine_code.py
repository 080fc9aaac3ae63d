"""Compiled functions give what the plain ones give, wherever their source lies."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from worldsim.dynamics.machine_code import compiled


def _total(values: np.ndarray) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def test_a_compiled_function_gives_what_the_plain_one_gives() -> None:
    values = np.random.default_rng(0).random(100)
    assert compiled(_total)(values) == _total(values)


def test_what_has_no_place_for_a_cache_is_compiled_all_the_same() -> None:
    made: dict[str, object] = {}
    exec("def twice(value):\n    return 2 * value", made)  # of no file: Numba finds nowhere to keep its machine code
    assert compiled(made["twice"])(21) == 42  # type: ignore[arg-type]


def test_the_compiler_is_imported_by_those_who_need_it() -> None:
    told = "import sys, worldsim.loop, worldsim.dormancy.kernels; print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout == "False\n"
