"""Functions compiled to machine code: for loops on the host over rows of unequal length, which no array holds.

Batched work on the belief is torch's, on any device. What is left on the host (neighbours, gates, the watch over
sleepers) visits for each thing the few that are near; in arrays that takes a dozen passes through memory and as many
temporaries, here one. Numba compiles a function at its first call and keeps the machine code in a cache beside the
source, so that only the first run on a machine waits for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

Given = ParamSpec("Given")
Made = TypeVar("Made")


def compiled(function: Callable[Given, Made]) -> Callable[Given, Made]:
    """Return the function in machine code; the compiler is imported at the first call, by those who need it.

    It lets go of the interpreter's lock while it runs. The cache is void when the *file* of the function changes and
    not otherwise: a function that is given here calls no other of them and reads no constant of another file, unless it
    closes over a stamp of the sources that it is made of, as `worldsim.dynamics.imagination.kernels` does.
    """

    @functools.cache
    def machine_code() -> Callable[Given, Made]:
        import numba

        try:
            made = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
        except RuntimeError:  # nowhere to keep it: a package that cannot be written to, a user without a home
            made = numba.njit(nogil=True, error_model="numpy")(function)
        return cast(Callable[Given, Made], made)

    @functools.wraps(function)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        return machine_code()(*args, **kwargs)

    return called
