"""The folder that a run writes: what it was, what happened, and what came out.

::

    run.json         name, config, seed, versions, machine, git commit, status, seconds
    events.jsonl     one event a line, as it happened
    metrics.json     the figures
    report.html      and whatever else the command adds

`run.json` and `metrics.json` are replaced whole or not at all. `events.jsonl` grows by whole lines, so a killed run
leaves at most one unfinished last line, which `read_events` leaves out.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from worldsim.errors import ConfigurationError, DataError, WorldsimError
from worldsim.evaluation.jsonable import dump_json, to_jsonable
from worldsim.evaluation.provenance import git_commit, machine, versions

if TYPE_CHECKING:
    from worldsim.types.record import Event

__all__ = ["EVENTS", "METRICS", "RUN", "RunFolder", "atomic_write", "read_events", "read_run"]

RUN, EVENTS, METRICS = "run.json", "events.jsonl", "metrics.json"
TRAINING = "train-"
"""The names of trainings begin so."""
_OF_A_RUN = (METRICS, "report.html", "scene.mp4", "scene.gif", "trajectory*.npz", "belief-*.safetensors")
"""What a run leaves behind that a later one in the same folder need not write over."""


class RunFolder:
    """Writes one run. Use it as a context manager, so that `run.json` says how the run ended.

    >>> import tempfile
    >>> with RunFolder(Path(tempfile.mkdtemp()) / "a", name="demo", config={"episodes": 1}, seed=7) as run:
    ...     run.write_metrics({"deliveries": 3})
    >>> read_run(run.path)["status"]
    'finished'
    """

    def __init__(
        self, path: Path | str | None, *, name: str, config: Mapping[str, Any], seed: int, goes_on: bool = False
    ) -> None:
        """Make the folder and write `run.json`.

        Args:
            path: the folder; None makes ``runs/<name>-<UTC time>-<seed>`` in the working directory. An earlier run in
                the same folder is written over, and what it alone had written is removed.
            name: the command or scenario, for example ``demo``.
            config: everything that decides the run apart from the seed (parts appear by their `repr`).
            seed: the run's seed.
            goes_on: the run takes an earlier one up again; what that one wrote stays.

        Raises:
            ConfigurationError: the folder cannot be made or written, or holds a training and this is none.
        """
        started = datetime.now(UTC)
        stamp = started.strftime("%Y%m%dT%H%M%SZ")
        self.path = Path(path) if path is not None else Path("runs") / f"{name}-{stamp}-{seed}"
        self._clock = time.monotonic()
        self._run = {
            "name": name,
            "config": dict(config),
            "seed": seed,
            "started": started.isoformat(timespec="seconds"),
            "status": "running",
            "seconds": None,
            "commit": git_commit(),
            "versions": versions(),
            "machine": machine(),
        }
        self._is_new = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._make_room(name, goes_on)
            self._write_run()
            self._events = (self.path / EVENTS).open("w", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"cannot write the run folder {self.path}: {error.strerror or error}. Name another one with --out."
            ) from error

    def write_event(self, event: Event, **of: str | int) -> None:
        """Append one event as a line of `events.jsonl`, on disk when the call returns.

        `of` says of what it is where a run has several of those, each with times and ids of its own: ``episode=3``.
        """
        self._events.write(dump_json(to_jsonable(event) | of) + "\n")
        self._events.flush()

    def write_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Write `metrics.json`, whole or not at all."""
        self.write_text(METRICS, dump_json(metrics, indent=2) + "\n")

    def write_text(self, name: str, text: str) -> Path:
        """Write the text file `name`, whole or not at all; return its path."""
        with atomic_write(self.path / name) as file:
            file.write(text.encode("utf-8"))
        return self.path / name

    def close(self, status: str = "finished") -> None:
        """Write the final `run.json`. A second call does nothing."""
        if self._events.closed:
            return
        self._events.close()
        self._run |= {"status": status, "seconds": round(time.monotonic() - self._clock, 3)}
        self._write_run()

    def __enter__(self) -> Self:
        """Return the folder itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write how the run ended: ``finished``, ``interrupted`` (Ctrl-C), or ``failed`` with the error's name.

        A folder that an error on purpose (a wrong name, a server that is away) leaves without content is removed.
        """
        self.close("finished" if kind is None else "interrupted" if kind is KeyboardInterrupt else _told(kind, error))
        if isinstance(error, WorldsimError) and self._is_new and self._is_bare():
            for file in (RUN, EVENTS):
                (self.path / file).unlink()
            self.path.rmdir()

    def _is_bare(self) -> bool:
        return {file.name for file in self.path.iterdir()} == {RUN, EVENTS} and not (self.path / EVENTS).stat().st_size

    def _make_room(self, name: str, goes_on: bool) -> None:
        """Remove what an earlier run left in the folder, so that nothing of two runs is taken for one."""
        if goes_on or not (self.path / RUN).is_file():
            return
        try:
            earlier = str(read_run(self.path).get("name"))
        except DataError:
            return  # whatever it is, it is no run of ours
        if earlier.startswith(TRAINING) and not name.startswith(TRAINING):
            raise ConfigurationError(f"{self.path} holds a training ({earlier}). Name another folder with --out.")
        for pattern in _OF_A_RUN:
            for file in self.path.glob(pattern):
                file.unlink()

    def _write_run(self) -> None:
        self.write_text(RUN, dump_json(self._run, indent=2) + "\n")


def _told(kind: type[BaseException], error: BaseException | None) -> str:
    return f"failed: {kind.__name__}: {error}"


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that takes the place of `path` when the block ends well, and is removed otherwise.

    The bytes are on disk before the name changes, so a crash or a full disk leaves the old file or none.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes it private; a report is to be read by others
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def read_run(path: Path | str) -> dict[str, Any]:
    """Return the content of a run folder's `run.json`.

    Raises:
        DataError: there is none, or it is not one that worldsim wrote.
    """
    file = Path(path) / RUN
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path} is not a run folder: {file} cannot be read ({error.strerror}). "
            "A run folder is what `worldsim demo`, `run`, `train` and others write with --out DIR."
        ) from error
    except ValueError as error:
        raise DataError(f"{file} is not JSON ({error}); expected what worldsim writes there.") from error
    if not isinstance(content, dict) or "status" not in content:
        raise DataError(f"{file} holds no run: expected an object with the key 'status'.")
    return content


def read_events(path: Path | str) -> list[dict[str, Any]]:
    """Return the events of a run folder, oldest first; an unfinished last line is left out.

    Raises:
        DataError: the file cannot be read, or a line before the last is not JSON.
    """
    file = Path(path) / EVENTS
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}).") from error
    events = []
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline was never finished
        try:
            events.append(json.loads(line))
        except ValueError as error:
            raise DataError(f"{file}, line {number}: not JSON ({error}).") from error
    return events
