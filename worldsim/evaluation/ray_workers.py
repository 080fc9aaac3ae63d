"""Jobs on the workers of a Ray cluster, on this machine or on many: the same results in the same order as in turn."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, TypeVar

from worldsim.errors import ConfigurationError

__all__ = ["LOCAL", "JobMap", "in_turn", "job_map", "ray_is_installed", "ray_workers"]

LOCAL = "local"
"""The address that stands for a cluster of this machine's cores, started for the occasion."""
_TRIES_AFTER_A_DEATH = 5

Job = TypeVar("Job")
Result = TypeVar("Result")
JobMap = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]
"""What plays jobs: a function of one job and the jobs go in, the results come out in the order of the jobs."""


def in_turn(function: Callable[[Job], Result], jobs: Sequence[Job]) -> list[Result]:
    """Return ``function(job)`` of every job, one after the other in this process."""
    return [function(job) for job in jobs]


@contextmanager
def job_map(address: str | None) -> Iterator[JobMap]:
    """Yield `in_turn` where `address` is None, else what `ray_workers` yields for it (errors as there)."""
    if address is None:
        yield in_turn
    else:
        with ray_workers(address) as play_all:
            yield play_all


def ray_is_installed() -> bool:
    """Return whether Ray can be imported (the extra ``ray``)."""
    return importlib.util.find_spec("ray") is not None


@contextmanager
def ray_workers(address: str = LOCAL, processes: int = 2) -> Iterator[JobMap]:
    """Yield what plays jobs on the workers of a cluster; the cluster, if it was started here, ends with the block.

    A job has to depend on nothing but its own fields, so that it gives the same result wherever it runs and however
    often it was begun: a job whose worker dies is begun anew on another one, and none is lost or counted twice.

    Args:
        address: of a running cluster (``ray start --head`` prints it), or `LOCAL`.
        processes: workers of a local cluster.

    Raises:
        ConfigurationError: Ray is not installed, or the cluster cannot be reached.
    """
    if not ray_is_installed():
        raise ConfigurationError('--ray needs Ray: pip install "worldsim-lab[ray]".')
    # a worker that has no GPU to share leaves the variable alone; the environment's tensors live on the CPU
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray's workers yield to everything else by default: beside one other job on every core they hardly run at all
    os.environ.setdefault("RAY_worker_niceness", "0")
    import ray

    local = address == LOCAL
    where: dict[str, Any] = {"num_cpus": processes, "include_dashboard": False} if local else {"address": address}
    threads = {"env_vars": {"OMP_NUM_THREADS": "1"}}  # the workers share the cores
    try:
        ray.init(**where, log_to_driver=False, configure_logging=False, runtime_env=threads)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigurationError(f"--ray: no cluster can be had at {address!r}: {error}.") from error
    try:
        with redirect_stdout(sys.stderr):  # Ray prints what happens to its workers; the output is a command's own
            yield _play
    finally:
        ray.shutdown()


def _play(function: Callable[[Any], Any], jobs: Sequence[Any]) -> list[Any]:
    import ray

    # max_retries answers the death of a worker; an exception of the function itself is raised at once
    remote = ray.remote(num_cpus=1, max_retries=_TRIES_AFTER_A_DEATH, retry_exceptions=False)(function)
    try:
        return list(ray.get([remote.remote(job) for job in jobs]))
    except ray.exceptions.RayTaskError as error:
        raise error.as_instanceof_cause() from error
