"""Many environments at once: each worker process steps several of them for one message."""

from __future__ import annotations

import functools
import itertools
import multiprocessing
import os
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from worldsim.errors import ConfigurationError, SimulationError
from worldsim.simulation.gym_env import WorldsimEnv
from worldsim.simulation.vector_worker import Board, Failure, serve

__all__ = ["WorldsimVectorEnv"]


_CLOSING_S = 10.0  # a worker that has not ended so long after it was told to is terminated


class WorldsimVectorEnv(VectorEnv[dict[str, np.ndarray], np.ndarray, np.ndarray]):
    """`num_envs` environments of one scenario, shared out among worker processes.

    A process for each environment waits for messages more than it computes. Here a worker owns several PyBullet
    clients, gets one message a step for all of them, and writes observations into memory that all processes share.
    There is a worker a core: in the worlds of ``worldsim bench scale`` two a core, of which a core that is done takes
    over one that waits for the other core, lost more to changing between them than they gained.
    Results are those of `gymnasium.vector.SyncVectorEnv` with the same seeds, to the last bit. An environment whose
    episode is over is reset by the next step (``AutoresetMode.NEXT_STEP``), which ignores its action and rewards 0.

    Example:
        >>> import gymnasium, worldsim
        >>> envs = gymnasium.make_vec("worldsim/ForceLab-v0", num_envs=4, workers=2, observation="state")
        >>> observations, infos = envs.reset(seed=0)
        >>> observations["position"].shape[0]
        4
        >>> observations, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())
        >>> envs.close()
    """

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # type: ignore[misc]

    def __init__(
        self, num_envs: int = 1, workers: int | None = None, start_method: str | None = None, **arguments: Any
    ) -> None:
        """Start the workers and make the environments; their worlds are built by `reset`.

        Args:
            num_envs: how many environments.
            workers: processes; where None, one for each core that this process may use.
            start_method: of `multiprocessing`; the platform's where None.
            arguments: of each `WorldsimEnv`.

        Raises:
            ConfigurationError: a number cannot work.
            SimulationError: an environment could not be made in its worker.
        """
        super().__init__()
        if workers is None:
            workers = min(num_envs, len(os.sched_getaffinity(0)))
        if not 1 <= workers <= num_envs:
            raise ConfigurationError(
                f"WorldsimVectorEnv: workers is {workers}, expected 1 to num_envs, which is {num_envs}."
            )
        self.closed = True  # until there is something to close
        probe = WorldsimEnv(**arguments)
        probe.close()
        self.num_envs, self.render_mode, self._packer = num_envs, probe.render_mode, probe.packer
        self.metadata = {**probe.metadata, **self.metadata}  # type: ignore[misc]
        self.single_observation_space, self.single_action_space = probe.observation_space, probe.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._picture = probe.observation_space.spaces.get("camera_rgb")  # type: ignore[attr-defined]
        context = multiprocessing.get_context(start_method)
        pixels = int(np.prod(self._picture.shape)) if self._picture is not None else 0
        self._board = Board(context, num_envs, self._packer.size, pixels, int(probe.action_space.shape[0]))  # type: ignore[index]
        self._start(context, workers, arguments)
        self._exchange(("make",) for _ in self._rows)

    def _start(self, context: Any, workers: int, arguments: dict[str, Any]) -> None:
        ends = np.linspace(0, self.num_envs, workers + 1).round().astype(int).tolist()
        self._rows = [range(first, last) for first, last in itertools.pairwise(ends)]
        self._pipes: list[Any] = []
        self._processes: list[Any] = []
        make = functools.partial(WorldsimEnv, **arguments)
        self.closed = False
        for number, rows in enumerate(self._rows):
            ours, theirs = context.Pipe()
            inherited = [*self._pipes, ours] if context.get_start_method() == "fork" else []
            process = context.Process(
                target=serve, args=(theirs, inherited, make, rows, self._board), name=f"worldsim-{number}", daemon=True
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Reset every environment.

        Args:
            seed: of the first environment, the next ones get the numbers after it; or one for each.
            options: handed to every environment.

        Raises:
            ConfigurationError: there is not one seed for each environment.
            SimulationError: an environment raised, or a worker is gone.
        """
        if seed is None or isinstance(seed, int | np.integer):
            seeds = [None if seed is None else int(seed) + i for i in range(self.num_envs)]
        else:
            seeds = [None if one is None else int(one) for one in seed]
        if len(seeds) != self.num_envs:
            raise ConfigurationError(
                f"WorldsimVectorEnv: got {len(seeds)} seeds, expected one for each of {self.num_envs} environments."
            )
        infos = self._exchange(("reset", seeds[rows.start : rows.stop], options) for rows in self._rows)
        return self._observations(), self._gathered(infos)

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Advance every environment by one frame.

        Args:
            actions: [n, U], each in [-1, 1].

        Raises:
            ConfigurationError: the actions have another shape.
            SimulationError: an environment raised, or a worker is gone.
        """
        actions = np.asarray(actions, dtype=np.float32)
        board = self._board.view("actions")
        if actions.shape != board.shape:
            raise ConfigurationError(f"WorldsimVectorEnv: actions have shape {actions.shape}, expected {board.shape}.")
        board[:] = actions
        infos = self._exchange(("step",) for _ in self._rows)
        rewards, terminated, truncated = (
            self._board.view(name).copy() for name in ("rewards", "terminated", "truncated")
        )
        return self._observations(), rewards, terminated, truncated, self._gathered(infos)

    def call(self, name: str, *arguments: Any, **keywords: Any) -> tuple[Any, ...]:
        """Return what attribute or method `name` of every environment gives."""
        return tuple(self._exchange(("call", name, arguments, keywords) for _ in self._rows))

    def render(self) -> tuple[Any, ...]:
        """Return a picture of every environment."""
        return self.call("render")

    def _exchange(self, messages: Any) -> list[Any]:
        """Send each worker its message; return all answers, in the order of the environments."""
        if self.closed:
            raise SimulationError("WorldsimVectorEnv: it is closed. Make a new one.")
        answers: list[Any] = []
        at = 0
        try:
            for at, message in enumerate(messages):
                self._pipes[at].send(message)
            for at in range(len(self._pipes)):
                answers.append(self._pipes[at].recv())
        except (EOFError, BrokenPipeError, ConnectionResetError) as gone:
            self._processes[at].join(1.0)
            status, rows = self._processes[at].exitcode, self._rows[at]
            self.close()
            raise SimulationError(
                f"WorldsimVectorEnv: the worker of environments {rows.start} to {rows.stop - 1} is gone "
                f"(exit status {status}). Was it killed, or is the machine out of memory?"
            ) from gone
        except BaseException:  # a Ctrl-C: answers that nobody has read would be taken for those of the next call
            self.close()
            raise
        for answer in answers:
            if isinstance(answer, Failure):
                self.close()
                raise SimulationError(
                    f"WorldsimVectorEnv: environment {answer.row} raised {answer.message}\n"
                    f"In its worker:\n{answer.trace}"
                )
        return [entry for answer in answers for entry in answer]

    def _observations(self) -> dict[str, np.ndarray]:
        found = self._packer.split(self._board.view("numbers").copy())
        if self._picture is not None:
            shape = (self.num_envs, *self._picture.shape)
            found["camera_rgb"] = self._board.view("pixels").reshape(shape).copy()
        return {name: found[name] for name in self.single_observation_space.spaces}  # type: ignore[attr-defined]

    def _gathered(self, infos: list[dict[str, Any]]) -> dict[str, Any]:
        gathered: dict[str, Any] = {}
        for row, info in enumerate(infos):
            if info:
                gathered = self._add_info(gathered, info, row)
        return gathered

    def close_extras(self, **keywords: Any) -> None:
        """End the workers; one that does not end by itself is terminated."""
        del keywords
        for pipe in self._pipes:
            try:
                pipe.send(("close",))
            except (BrokenPipeError, ConnectionResetError):
                continue  # it is gone already
        for process, pipe in zip(self._processes, self._pipes, strict=True):
            process.join(_CLOSING_S)
            if process.is_alive():
                process.terminate()
                process.join()
            pipe.close()
