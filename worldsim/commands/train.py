"""``worldsim train``: a learning agent on a scenario, over seeds, in pieces that a kill does not lose."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldsim.commands.options import LONGEST_S, Json, Out, Ray, Seed, Set, emit, names_exist, print_table, tell, typed
from worldsim.commands.run import Observation, ObservationMode, Scenario, frames_of

if TYPE_CHECKING:
    from worldsim.evaluation.training import OnStep, SeedResult, TrainOptions

__all__ = ["train"]

_SAME = ("scenario", "agent", "observation", "seeds", "envs", "checkpoint_every", "scenario_arguments")


def train(  # noqa: PLR0913 - one option a part of the training
    scenario: Scenario,
    agent: Annotated[
        str,
        typer.Option(
            "--agent", help="An agent that learns: ppo, sac, imagined_ppo, imagined_sac, monolith, or one of yours."
        ),
    ] = "ppo",
    steps: Annotated[int, typer.Option("--steps", min=1, help="Frames to learn from, a seed.")] = 20_000,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many trainings; training i has SEED + i.")] = 1,
    envs: Annotated[int, typer.Option("--envs", min=1, help="Environments side by side.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the training in the folder of --out.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew where --out holds a training already; that one is lost.")
    ] = False,
    checkpoint_every: Annotated[
        int, typer.Option("--checkpoint-every", min=0, help="Frames between checkpoints; 0: a tenth of --steps.")
    ] = 0,
    evaluation_episodes: Annotated[
        int, typer.Option("--evaluation-episodes", min=0, help="Held-out episodes an evaluation; 0: none.")
    ] = 5,
    evaluation_seconds: Annotated[
        float,
        typer.Option(
            "--evaluation-seconds", min=0.0, max=LONGEST_S, help="Cut those episodes after so long; 0: never."
        ),
    ] = 0.0,
    observation: Observation = ObservationMode.DETECTIONS,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record", help="Write each seed's evaluations into this file; what it holds is not trained again."
        ),
    ] = None,
    fields: Set = None,
    ray: Ray = None,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Train a learning agent on a scenario; the run folder is what `worldsim run --policy` takes.

    It writes checkpoints, TensorBoard curves and a report. A killed training goes on with --resume --out DIR.

    On a cluster (--ray) the seeds are trained side by side, and give the same numbers.
    """
    names_exist(scenario=scenario, agent=agent)
    from worldsim.evaluation.scenario_fields import read_fields

    arguments = read_fields(scenario, fields or ())
    from worldsim.errors import ConfigurationError
    from worldsim.evaluation.training import TrainOptions

    options = TrainOptions(
        scenario,
        agent,
        observation.value,
        steps,
        seeds,
        seed,
        envs,
        checkpoint_every,
        evaluation_episodes,
        frames_of(evaluation_seconds),
        arguments,
    )
    if resume and overwrite:
        raise ConfigurationError("--resume goes on with a training, --overwrite begins anew: give one of the two.")
    if not (resume or overwrite):
        _check_nothing_is_lost(out)
    metrics, folder = _run(options, resume, out, ray, record)
    emit({"run": str(folder), **metrics}, as_json=json, out=None, show=lambda: _show(options, metrics, folder))


_NOT_SHOWN = ("verdict", "seeds", "evaluations")


def _show(options: TrainOptions, metrics: dict[str, Any], folder: Path) -> None:
    typer.echo(metrics["verdict"])
    rows = [(name.replace("_", " "), _shown(value)) for name, value in metrics.items() if name not in _NOT_SHOWN]
    print_table(f"train {options.agent} on {options.scenario}", ("figure", "value"), rows)
    typer.echo(_commands(options, folder))


def _commands(options: TrainOptions, folder: Path) -> str:
    """Return what can be done with a training, a command a line; the policy is played in what it was trained in."""
    from worldsim.evaluation.scenario_fields import written_fields

    played = [word for field in written_fields(options.scenario_arguments) for word in ("--set", field)]
    if options.observation != ObservationMode.DETECTIONS:
        played += ["--observation", options.observation]
    commands: tuple[tuple[str | Path, ...], ...] = (
        ("worldsim", "view", folder),
        ("worldsim", "run", options.scenario, "--agent", options.agent, "--policy", folder, *played),
        ("tensorboard", "--logdir", folder),
    )
    return "\n".join(typed(*command) for command in commands)


def _run(
    options: TrainOptions, resume: bool, out: Path | None, ray: str | None, record: Path | None
) -> tuple[dict[str, Any], Path]:
    """Train, judge the floors, write metrics and page; return the metrics and the folder."""
    import dataclasses
    import shlex
    import sys

    import numpy as np

    from worldsim.evaluation.baselines import record_seed, recorded_seeds
    from worldsim.evaluation.play import PlayOptions, learning_agent
    from worldsim.evaluation.ray_workers import ray_workers
    from worldsim.evaluation.run_folder import TRAINING, RunFolder, read_run
    from worldsim.evaluation.training import floors, train_seeds
    from worldsim.evaluation.training_cluster import train_population
    from worldsim.evaluation.training_page import render_training_page, training_metrics, training_verdict

    learning_agent(PlayOptions(options.scenario, options.agent))
    config, known = dataclasses.asdict(options), recorded_seeds(record, options)

    def keep(result: SeedResult) -> None:
        if record is not None:
            record_seed(record, options, result, shlex.join(["worldsim", *sys.argv[1:]]))

    if resume:
        _check_resumed(out, config, options.seed)
    with (
        RunFolder(out, name=f"{TRAINING}{options.agent}", config=config, seed=options.seed, goes_on=resume) as folder,
        _saying_how_to_go_on(folder.path),
        _progress(options) as on_step,
    ):
        if ray is None:
            results = train_seeds(options, folder, resume=resume, on_step=on_step, known=known, on_result=keep)
        else:
            with ray_workers(ray) as play_all:
                results = train_population(play_all, options, folder, resume=resume, known=known)
            for result in results:
                if result.seed not in known:
                    keep(result)
        bottom = floors(options)
        metrics = training_metrics(results, bottom, np.random.default_rng(options.seed))
        metrics = {"verdict": training_verdict(options.agent, metrics), **metrics}
        folder.write_metrics(metrics)
        page = render_training_page(
            f"{options.agent} on {options.scenario}",
            results,
            bottom,
            metrics,
            read_run(folder.path),
            np.random.default_rng(options.seed),
            metrics["verdict"],
            _commands(options, folder.path),
        )
        folder.write_text("report.html", page)
    return metrics, folder.path


def _check_nothing_is_lost(out: Path | None) -> None:
    """Refuse to begin anew where frames have been learned from.

    Raises:
        ConfigurationError: the folder holds a training.
    """
    from worldsim.errors import ConfigurationError
    from worldsim.evaluation.training import newest_checkpoint

    for place in sorted(out.glob("seed-*")) if out is not None else ():
        last = newest_checkpoint(place)
        done = 0 if last is None else int(last.name.rpartition("-")[2])
        if done:
            raise ConfigurationError(
                f"--out: {out} holds a training of {done} frames ({place.name}). --resume goes on with it, --overwrite "
                "begins anew and loses it; or name another folder."
            )


def _check_resumed(out: Path | None, config: dict[str, Any], seed: int) -> None:
    """Refuse to go on with a training of another kind.

    Raises:
        ConfigurationError: no folder was named, or its training differs in more than its length.
        DataError: the folder holds no run.
    """
    from worldsim.errors import ConfigurationError
    from worldsim.evaluation.jsonable import to_jsonable
    from worldsim.evaluation.run_folder import read_run

    if out is None:
        raise ConfigurationError("--resume needs --out DIR, the folder of the training to go on with.")
    run = read_run(out)
    before = run.get("config", {}) | {"seed": run.get("seed")}
    now = to_jsonable(config) | {"seed": seed}
    wrong = {name: (before.get(name), now[name]) for name in (*_SAME, "seed") if before.get(name) != now[name]}
    if wrong:
        told = ", ".join(f"{name} {then!r}, now {asked!r}" for name, (then, asked) in wrong.items())
        raise ConfigurationError(f"--resume: the training in {out} is another one: {told}. Ask for the same.")
    if before["steps"] > config["steps"]:
        raise ConfigurationError(
            f"--resume: the training in {out} has {before['steps']} steps; ask for as many or more."
        )


@contextmanager
def _saying_how_to_go_on(folder: Path) -> Iterator[None]:
    """Tell who interrupts the training what takes it up again."""
    try:
        yield
    except KeyboardInterrupt:
        where = shlex.join(["--resume", "--out", str(folder)])
        tell(f"interrupted; the same command with {where} goes on from the last checkpoint")
        raise


@contextmanager
def _progress(options: TrainOptions) -> Iterator[OnStep]:
    """Yield what shows how far each training is; it shows nothing where standard error is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = [
            progress.add_task(f"{options.agent}, seed {options.seed + i}", total=options.steps)
            for i in range(options.seeds)
        ]
        yield lambda number, steps: progress.update(tasks[number], completed=min(steps, options.steps))


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict) and value.get("interval", ()) is None:  # of a single episode there is none
        return f"{value['value']:.4g}"
    if isinstance(value, dict) and "interval" in value:
        return f"{value['value']:.4g}  ({value['interval'][0]:.4g} .. {value['interval'][1]:.4g})"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    return ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)
