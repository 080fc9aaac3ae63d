"""``worldsim run``: a scenario, an agent, and the world model between them."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldsim.commands.options import LONGEST_S, Json, Out, Seed, Set, emit, names_exist, print_table, typed

if TYPE_CHECKING:
    from rich.progress import Progress

    from worldsim.evaluation.play import OnFrame

__all__ = ["ObservationMode", "frame_by_frame", "frames_of", "run", "shown"]


class Engine(enum.StrEnum):
    """What computes the true world."""

    BULLET = "bullet"
    MUJOCO = "mujoco"


class ObservationMode(enum.StrEnum):
    """What the sensors give."""

    STATE = "state"
    DETECTIONS = "detections"
    RGBD = "rgbd"


Scenario = Annotated[str, typer.Argument(help="See `worldsim list scenarios`.")]
Observation = Annotated[ObservationMode, typer.Option("--observation", help="What the sensors give.")]
RegistryName = Annotated[str, typer.Option("--registry", help="Where the world model asks for models.")]
Seconds = Annotated[
    float,
    typer.Option("--seconds", min=0.0, max=LONGEST_S, help="End an episode after so long, simulated; 0: never."),
]
Policy = Annotated[
    Path | None,
    typer.Option("--policy", exists=True, file_okay=False, help="Folder that `worldsim train` wrote."),
]


FALLBACK_AGENT = "deliverer"
"""Plays the warehouse, where its alarms are the story, and whatever has no expert."""


def run(  # noqa: PLR0913 - one option a part of the run
    scenario: Scenario,
    agent: Annotated[
        str | None,
        typer.Option("--agent", help="See `worldsim list agents`; the scripted expert of a task where none is named."),
    ] = None,
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="Episode i has the seed SEED + i.")] = 1,
    observation: Observation = ObservationMode.DETECTIONS,
    registry: RegistryName = "builtin",
    policy: Policy = None,
    engine: Annotated[
        Engine,
        typer.Option("--engine", help="What computes the world; mujoco: to try what was learned in bullet."),
    ] = Engine.BULLET,
    film: Annotated[bool, typer.Option("--film", help="Film the first episode.")] = False,
    seconds: Seconds = 0.0,
    beliefs: Annotated[
        float,
        typer.Option(
            "--beliefs", min=0.0, max=LONGEST_S, help="Keep the belief every so many s for `worldsim ask`; 0: the last."
        ),
    ] = 0.0,
    fields: Set = None,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Run a scenario and write a run folder: events, metrics, trajectories and a report."""
    names_exist(scenario=scenario, agent=agent or FALLBACK_AGENT)
    from worldsim.evaluation.scenario_fields import read_fields

    arguments = read_fields(scenario, fields or ())
    from worldsim.evaluation.play import PlayOptions, agent_for, check, play
    from worldsim.evaluation.run_folder import RunFolder

    options = PlayOptions(
        scenario,
        agent or agent_for(scenario, arguments, FALLBACK_AGENT),
        episodes,
        observation.value,
        seed,
        registry,
        policy,
        film,
        frames_of(seconds),
        beliefs,
        arguments,
        engine.value,
    )
    check(options)
    with (
        RunFolder(out, name=scenario, config=dataclasses.asdict(options), seed=seed) as folder,
        frame_by_frame(scenario, episodes) as on_frame,
    ):
        metrics = play(options, folder, on_frame)
    _emit(folder.path, metrics, metrics["summary"], f"run {scenario}", json)


def frames_of(seconds: float) -> int:
    """Return how many frames of 1/20 s that is, at least one unless it is 0 (no limit)."""
    return max(1, round(seconds * 20)) if seconds else 0


def _emit(folder: Path, metrics: dict[str, Any], figures: dict[str, Any], title: str, as_json: bool) -> None:
    rows = [(name.replace("_", " "), shown(value)) for name, value in figures.items() if value not in (None, [])]
    emit(
        {"run": str(folder), **metrics},
        as_json=as_json,
        out=None,
        show=lambda: print_table(title, ("figure", "value"), rows, caption=typed("worldsim", "view", folder)),
    )


@contextmanager
def _progress() -> Iterator[Progress]:
    """Yield a progress display on standard error; it shows nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress


@contextmanager
def frame_by_frame(name: str, episodes: int) -> Iterator[OnFrame]:
    """Yield what shows each frame's time as it is played."""
    with _progress() as progress:
        task = progress.add_task(name, total=episodes)
        yield lambda episode, frame: progress.update(
            task, completed=episode, description=f"{name}  {frame.time_s:6.1f} s"
        )


def shown(value: Any) -> str:
    """Return a value as a cell of a table."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
