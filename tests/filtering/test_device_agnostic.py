"""The filter's arithmetic stays on one device and asks the host nothing: traced with every tensor on a fake GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = {"rigid_body", "hinge", "vehicle", "person", "cat", "dog", "rolling_ball", "trolley", "generic"}


@pytest.fixture(scope="module")
def traced() -> dict[str, Any]:
    """In a process of its own: fake devices and what other tests leave behind in torch do not go together."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.filtering.traced_turn"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_predict_and_correct_stay_on_the_device_they_were_given(traced: dict[str, Any]) -> None:
    assert traced["devices"] == {family: ["cuda"] for family in FAMILIES}


def test_the_trace_would_notice_a_tensor_left_on_the_host(traced: dict[str, Any]) -> None:
    assert traced["stray"]


def test_the_trace_would_notice_a_value_asked_of_the_device(traced: dict[str, Any]) -> None:
    assert traced["value"]
