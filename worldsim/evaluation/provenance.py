"""Says what a figure or a run was made with: commit, versions and machine."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from worldsim import huge_pages

__all__ = ["git_commit", "is_unchanged_since", "machine", "versions"]

_DISTRIBUTIONS = (
    "worldsim-lab",
    "torch",
    "numpy",
    "scipy",
    "networkx",
    "pybullet",
    "gymnasium",
    "mujoco",
    "stable-baselines3",
    "SQLAlchemy",
    "safetensors",
)
_GIT_TIMEOUT_S = 10.0


def git_commit() -> str | None:
    """Return the commit of the source tree that worldsim runs from, ``-dirty`` appended if it was changed since.

    None where worldsim runs from no git checkout of its own (an installed wheel, even inside another repository).
    """
    package = Path(__file__).resolve().parent.parent
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git(package, "rev-parse", "HEAD")
    if commit is None:
        return None
    changed = _git(package, "status", "--porcelain", "--untracked-files=no", "--", ":/")
    return f"{commit}-dirty" if changed else commit


def is_unchanged_since(commit: str, paths: Sequence[str]) -> bool:
    """Return whether the source tree holds at `paths` what it held at `commit`, to the last byte.

    Args:
        commit: as `git_commit` gives it; one that ends in ``-dirty`` names no tree.
        paths: git's pathspecs from the root of the tree.
    """
    root = Path(__file__).resolve().parent.parent.parent
    return not commit.endswith("-dirty") and _git(root, "diff", "--quiet", commit, "--", *paths) is not None


def versions() -> dict[str, str]:
    """Return the versions of Python and of every installed distribution that figures depend on."""
    found = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str | int]:
    """Return what the figures' times depend on: system, processor, number of usable cores and pages of memory."""
    return {
        "system": platform.system(),
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "pages": "huge" if huge_pages.are_asked_for(os.environ) else "small",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or "unknown"


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
