"""Errors say what happened, also when they come from another process."""

from __future__ import annotations

import pickle

from worldsim.errors import UnknownNameError


def test_an_unknown_name_travels_from_another_process_as_it_is():
    error = UnknownNameError("agent", "randm", ["random", "mpc"])
    back = pickle.loads(pickle.dumps(error))
    assert str(back) == str(error)
    assert (back.what, back.name, back.known) == ("agent", "randm", ("mpc", "random"))
