"""Huge pages for what a command computes on: a third of the time of a step, where the system gives small ones.

A belief is thousands of arrays, each written once and read a few times. In pages of 4 KiB the processor spends much
of a step on finding where they lie, the more so on a virtual machine, whose addresses are translated twice. glibc asks
for pages of 2 MiB when it is told to before a program starts (tunable ``glibc.malloc.hugetlb``), so a command that
computes sets it and starts itself anew, which takes as long as starting Python. A program that imports worldsim sets
the variable itself; see `docs/benchmarks.md`.
"""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Mapping

__all__ = ["are_asked_for", "started_anew", "tuned"]

TUNABLE = "glibc.malloc.hugetlb"
"""1: memory from malloc is advised to be on transparent huge pages (glibc manual, "Memory Allocation Tunables")."""
VARIABLE = "GLIBC_TUNABLES"
"""What glibc reads its tunables from: ``name=value`` and colons."""

_SYSTEM_SETTING = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
_ON_REQUEST = "[madvise]"


def tuned(environment: Mapping[str, str]) -> dict[str, str] | None:
    """Return the environment with huge pages asked for, or None where that is settled or would change nothing.

    It is settled where `VARIABLE` names `TUNABLE` already (``GLIBC_TUNABLES=glibc.malloc.hugetlb=0`` keeps small
    pages), and changes nothing where the system gives huge pages to everybody or to nobody, or has no glibc.
    """
    given = environment.get(VARIABLE, "")
    if TUNABLE in given or _ON_REQUEST not in _system_setting() or not _is_glibc():
        return None
    return {**environment, VARIABLE: ":".join(filter(None, (given, f"{TUNABLE}=1")))}


def started_anew() -> None:
    """Replace this process by the same command with huge pages, if that changes anything; else return.

    Nothing is replaced where the arguments are not those that Python was started with: there the command line is
    called by another program.
    """
    if len(sys.argv) < 2 or sys.argv[1:] != sys.orig_argv[1 - len(sys.argv) :]:
        return
    environment = tuned(os.environ)
    if environment is not None:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def are_asked_for(environment: Mapping[str, str]) -> bool:
    """Return whether a process with this environment computes on huge pages, as far as the system has any free."""
    setting = _system_setting()
    return "[always]" in setting or (_ON_REQUEST in setting and f"{TUNABLE}=1" in environment.get(VARIABLE, ""))


def _system_setting() -> str:
    try:
        return _SYSTEM_SETTING.read_text(encoding="ascii")
    except OSError:  # not Linux, or a kernel without huge pages
        return ""


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (ValueError, AttributeError):  # another libc, or not a Unix
        return False
