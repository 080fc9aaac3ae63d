"""The curves of a training as TensorBoard reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from worldsim.contracts.agent import TrainingEpisode

__all__ = ["TrainingLog"]


class TrainingLog:
    """Writes scalars for TensorBoard; where it is not installed (extra ``train``), writes nothing.

    What an interrupted process wrote after its last checkpoint is struck out when the training goes on from there.
    """

    def __init__(self, folder: Path, steps: int) -> None:
        """Open the log of a training that has done `steps` frames."""
        self._writer: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._writer = SummaryWriter(str(folder), purge_step=steps + 1 if steps else None, flush_secs=10)

    def piece(self, steps: int, episodes: Sequence[TrainingEpisode], scalars: Mapping[str, float]) -> None:
        """Write what a piece of learning says, and the episodes that ended in it."""
        if self._writer is None:
            return
        for episode in episodes:
            self._writer.add_scalar("episode/return", episode.total, episode.step)
            self._writer.add_scalar("episode/frames", episode.frames, episode.step)
        for name, value in scalars.items():
            if np.isfinite(value):
                self._writer.add_scalar(name, value, steps)
        self._writer.flush()

    def evaluation(self, steps: int, mean_return: float, success: float) -> None:
        """Write what an evaluation found."""
        if self._writer is None:
            return
        self._writer.add_scalar("evaluation/return", mean_return, steps)
        self._writer.add_scalar("evaluation/success", success, steps)
        self._writer.flush()

    def __enter__(self) -> Self:
        """Return the log itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
