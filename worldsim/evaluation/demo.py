"""``worldsim demo``: the cat in the warehouse once, told as it happens, with a report at the end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from worldsim.contracts.agent import Agent
from worldsim.evaluation.cat_scoring import score_episode
from worldsim.evaluation.episode import EpisodeLog, Frame, LogOptions, run_episode
from worldsim.evaluation.play import score_row
from worldsim.evaluation.report.animation import draw_pictures, write_animation, write_gif
from worldsim.evaluation.report.page import write_report
from worldsim.evaluation.report.story import Moment, headline, moments_of_event, tell
from worldsim.evaluation.run_folder import RunFolder, read_run
from worldsim.evaluation.trajectory_io import write_trajectory
from worldsim.loop import WorldModel
from worldsim.plugins import load_plugin
from worldsim.registry import open_existing
from worldsim.simulation.gym_env import WorldsimEnv

__all__ = ["draw_seed", "run_demo"]

FILM, GIF, TRAJECTORY, REPORT = "scene.mp4", "scene.gif", "trajectory.npz", "report.html"

_DURATION_S = 40.0
_PICTURE_EVERY = 4  # frames; the belief beside it moves twice as often
_AGENT_STREAM = 1  # the environment draws from the seed itself; the agent from a stream of its own
_COLOURS = {"calm": "white", "truth": "bright_black", "alarm": "bold red", "search": "yellow", "settled": "bold green"}


def draw_seed() -> int:
    """Return a seed from the clock; nobody chose it."""
    return time.time_ns() // 1000 % 1_000_000


def run_demo(
    seed: int | None = None,
    out: Path | None = None,
    json: bool = False,
    *,
    registry: str = "builtin",
    intruder: str = "auto",
    duration_s: float = _DURATION_S,
) -> dict[str, Any]:
    """Run the story once and write its folder; return what ``--json`` prints.

    Args:
        seed: of the run, drawn from the clock where None.
        out: the run's folder; by default a new one under ``runs/``.
        json: tell nothing on the way (the caller prints the result as JSON).
        registry: address of the registry that is asked (see `worldsim.open_registry`).
        intruder: what comes in; by default the seed decides.
        duration_s: length of the episode.

    Returns:
        seed, folder, report, headline, the score of the episode, and seconds taken.
    """
    torch.set_num_threads(1)  # the tensors are small; a second thread only waits
    seed = draw_seed() if seed is None else seed
    console = Console(stderr=True, quiet=json)
    started = time.perf_counter()
    env = WorldsimEnv(scenario="Warehouse", intruder=intruder, duration_s=duration_s)
    world_model = WorldModel(registry=open_existing(registry), device="cpu", seed=seed)
    made: type[Any] = load_plugin("worldsim.agents", "deliverer", Agent)
    agent = made(world_model=world_model)
    config = {"scenario": env.scenario, "agent": agent, "world_model": world_model.settings}
    try:
        with RunFolder(out, name="demo", config=config, seed=seed) as folder:
            _introduce(console, seed, world_model)
            log = _play(console, folder, env, world_model, agent, seed, duration_s)
            _film(console, log, folder.path, agent.planner.dt_s)
            score = score_row(score_episode(log))
            folder.write_metrics(
                {"headline": headline(log), "episode": score, "real_time_factor": log.real_time_factor}
            )
            write_trajectory(log, folder.path / TRAJECTORY)
            report = write_report(
                log,
                folder.path / REPORT,
                title=f"the cat in the warehouse, seed {seed}",
                run=read_run(folder.path),
                video=folder.path / FILM,
                beside=[FILM, GIF, TRAJECTORY],
            )
    finally:
        env.close()
    console.print(f"\n{headline(log)}\n\n[bold]{report}[/bold]", highlight=False)
    return {
        "seed": seed,
        "folder": str(folder.path),
        "report": str(report),
        "headline": headline(log),
        "seconds": round(time.perf_counter() - started, 1),
        "real_time_factor": log.real_time_factor,
        "episode": score,
    }


def _introduce(console: Console, seed: int, world_model: WorldModel) -> None:
    console.print(f"[bold]The cat in the warehouse[/bold], seed {seed}", highlight=False)
    console.print(
        f"A robot carries a parcel. It knows {len(world_model.loaded_models)} models; something it has never met will "
        "come in.\n",
        highlight=False,
    )


def _play(
    console: Console,
    folder: RunFolder,
    env: WorldsimEnv,
    world_model: WorldModel,
    agent: Agent,
    seed: int,
    duration_s: float,
) -> EpisodeLog:
    """Run the episode; events go to the folder and to the reader as they happen."""
    alarmed: set[int] = set()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[now]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        bar = progress.add_task("the loop runs", total=duration_s, now="")

        def follow(frame: Frame) -> None:
            for event in frame.record.events if frame.record is not None else ():
                folder.write_event(event)
                if event.kind == "alarm":
                    alarmed.add(event.object_id)
                for moment in moments_of_event(event) if event.object_id in alarmed else ():
                    _say(console, moment)
            progress.update(bar, completed=frame.time_s, now=f"{frame.time_s:4.1f} s")

        return run_episode(
            env,
            world_model,
            agent,
            np.random.default_rng([seed, _AGENT_STREAM]),
            seed=seed,
            log=LogOptions(images_every=_PICTURE_EVERY),
            on_frame=follow,
        )


def _film(console: Console, log: EpisodeLog, folder: Path, plan_step_s: float) -> None:
    """Draw the film and write it as MP4 and GIF."""
    with Progress(SpinnerColumn(), TextColumn("drawing the film"), BarColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=len(log.frames))
        pictures = draw_pictures(
            log, plan_step_s=plan_step_s, on_picture=lambda done, of: bar.update(task, completed=done, total=of)
        )
    write_animation(pictures, folder / FILM)
    alarms = [moment.time_s for moment in tell(log) if moment.tone == "alarm"]
    write_gif(pictures, folder / GIF, around_s=alarms[0] if alarms else None)


def _say(console: Console, moment: Moment) -> None:
    console.print(
        f"[bright_black]{moment.time_s:5.1f} s[/]  [{_COLOURS[moment.tone]}]{escape(moment.title)}[/]  "
        f"[bright_black]{escape(moment.text)}[/]",
        highlight=False,
    )
