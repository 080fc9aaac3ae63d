"""The hand-made episode, for every test below."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def hand_made():
    """The module next to this file (tests are imported by path, so it is too)."""
    spec = importlib.util.spec_from_file_location("hand_made", Path(__file__).with_name("hand_made.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def log(hand_made):
    """Ten seconds: the cat comes at 3 s, is noticed at 3.2 s, understood at 4.2 s."""
    return hand_made.make_log()
