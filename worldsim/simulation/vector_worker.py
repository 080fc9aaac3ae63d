"""One process of a vector environment: it steps several environments for each message that it gets."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from worldsim.simulation.gym_env import WorldsimEnv

__all__ = ["Board", "Failure", "serve"]


@dataclass(frozen=True, slots=True)
class Failure:
    """What a worker answers when an environment raised.

    Attributes:
        row: of the environment, -1 where it was none of them.
        message: of the exception.
        trace: its traceback, as text.
    """

    row: int
    message: str
    trace: str


class Board:
    """Memory that all processes share, a row for each of n environments: actions in, everything but `info` out."""

    def __init__(self, context: Any, rows: int, numbers: int, pixels: int, actions: int) -> None:
        """Allocate it.

        Args:
            context: of multiprocessing.
            rows: n.
            numbers: float32 numbers of an observation.
            pixels: bytes of an observation's pictures.
            actions: numbers of an action.
        """
        self._raw = {
            "numbers": (context.RawArray("f", rows * numbers), np.float32, (rows, numbers)),
            "pixels": (context.RawArray("B", max(1, rows * pixels)), np.uint8, (rows, pixels)),
            "actions": (context.RawArray("f", rows * actions), np.float32, (rows, actions)),
            "rewards": (context.RawArray("d", rows), np.float64, (rows,)),
            "terminated": (context.RawArray("B", rows), np.bool_, (rows,)),
            "truncated": (context.RawArray("B", rows), np.bool_, (rows,)),
        }

    def view(self, name: str) -> np.ndarray:
        """Return one of the arrays, without a copy."""
        raw, dtype, shape = self._raw[name]
        return np.frombuffer(raw, dtype=dtype, count=int(np.prod(shape))).reshape(shape)


class _Crew:
    """The environments of one process, and their rows of the board."""

    def __init__(self, make: Callable[[], WorldsimEnv], rows: range, board: Board) -> None:
        self.at = rows.start  # the row that is worked on, for the report of an error
        self.rows, self.envs = rows, []
        for row in rows:
            self.at = row
            self.envs.append(make())
        self.numbers, self.pixels, self.actions = (board.view(name) for name in ("numbers", "pixels", "actions"))
        self.rewards, self.terminated = board.view("rewards"), board.view("terminated")
        self.truncated = board.view("truncated")
        self.ended = dict.fromkeys(rows, False)
        self.order = range(len(rows))

    def reset(self, seeds: Sequence[int | None], options: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Reset every environment; return the infos."""
        infos = []
        for row, env, seed in zip(self.rows, self.envs, seeds, strict=True):
            self.at = row
            observation, info = env.reset(seed=seed, options=options)
            self._post(env, observation, 0.0, False, False)
            infos.append(info)
        return infos

    def step(self) -> list[dict[str, Any]]:
        """Step every environment by its action on the board, or reset it where its episode is over.

        Every other time they come in the opposite order, so that the one whose world is still in the processor's
        cache is the first.
        """
        infos: list[dict[str, Any]] = [{}] * len(self.envs)
        for place in self.order:
            row, env = self.rows[place], self.envs[place]
            self.at = row
            if self.ended[row]:
                observation, infos[place] = env.reset()
                self._post(env, observation, 0.0, False, False)
            else:
                observation, reward, terminated, truncated, infos[place] = env.step(self.actions[row].copy())
                self._post(env, observation, reward, terminated, truncated)
        self.order = self.order[::-1]
        return infos

    def _post(
        self, env: WorldsimEnv, observation: dict[str, np.ndarray], reward: float, terminated: bool, truncated: bool
    ) -> None:
        row = self.at
        env.packer.join(observation, self.numbers[row])
        if "camera_rgb" in observation:
            self.pixels[row] = observation["camera_rgb"].reshape(-1)
        self.rewards[row], self.terminated[row], self.truncated[row] = reward, terminated, truncated
        self.ended[row] = terminated or truncated

    def call(self, name: str, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> list[Any]:
        """Return every environment's attribute, or what it returns when it can be called."""
        found = []
        for row, env in zip(self.rows, self.envs, strict=True):
            self.at = row
            value = getattr(env, name)
            found.append(value(*arguments, **keywords) if callable(value) else value)
        return found

    def close(self) -> None:
        """Close every environment."""
        for env in self.envs:
            env.close()


def serve(
    connection: Connection,
    inherited: Sequence[Connection],
    make: Callable[[], WorldsimEnv],
    rows: range,
    board: Board,
) -> None:
    """Answer messages until told to close, or until the other end is gone.

    Args:
        connection: messages (what, *arguments) come in; a list with an entry an environment, or a `Failure`, goes out.
        inherited: ends of pipes that a forked process gets and must not keep open.
        make: makes one environment.
        rows: of the board that are this process's.
        board: shared with all.
    """
    for other in inherited:
        other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle; it closes us
    crew: _Crew | None = None
    try:
        while True:
            what, *arguments = connection.recv()
            if what == "close":
                return
            try:
                if what == "make":
                    crew = _Crew(make, rows, board)
                    answer: Any = []
                else:
                    answer = getattr(crew, what)(*arguments)
                connection.send(answer)
            except Exception as error:  # noqa: BLE001 - whatever went wrong is the main process's to raise
                row = crew.at if crew is not None else rows.start
                connection.send(Failure(row, f"{type(error).__name__}: {error}", traceback.format_exc()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the main process is gone
    finally:
        if crew is not None:
            crew.close()
        connection.close()
