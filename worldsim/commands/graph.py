"""``worldsim graph``: a scenario, its interaction graph inferred online, and the graph's score."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldsim.commands.options import LONGEST_S, Json, Out, Seed, Set, emit, names_exist, print_table, typed

if TYPE_CHECKING:
    from worldsim.evaluation.episode import EpisodeLog

__all__ = ["graph"]


def graph(  # noqa: PLR0913 - one option a part of the run
    scenario: Annotated[str, typer.Argument(help="See `worldsim list scenarios`.")],
    agent: Annotated[str, typer.Option("--agent", help="See `worldsim list agents`.")] = "deliverer",
    threshold: Annotated[
        float, typer.Option("--threshold", min=0.0, max=1.0, help="An edge is believed from here.")
    ] = 0.5,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.0, max=LONGEST_S, help="End after so long, simulated; 0: never.")
    ] = 20.0,
    film: Annotated[bool, typer.Option("--film/--no-film", help="Draw the graph over the scene.")] = True,
    fields: Set = None,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Infer the interaction graph online and score it against the truth.

    The run folder gets the last graph (graph.graphml, graph.json), the score of every kind (metrics.json), accuracy
    against time (accuracy.png), the reliability diagram (reliability.png), the graph over the scene (graph.png and
    graph.mp4), and a page with all of them (report.html).
    """
    names_exist(scenario=scenario, agent=agent)
    from worldsim.evaluation.scenario_fields import read_fields

    arguments = read_fields(scenario, fields or ())
    from worldsim.commands.run import frame_by_frame, frames_of, shown
    from worldsim.evaluation.graph_run_figures import judge_and_write, write_page
    from worldsim.evaluation.play import PlayOptions, check, play
    from worldsim.evaluation.run_folder import RunFolder

    options = PlayOptions(scenario, agent, seed=seed, max_frames=frames_of(seconds), scenario_arguments=arguments)
    check(options)
    logs: list[EpisodeLog] = []
    config = dataclasses.asdict(options) | {"threshold": threshold}
    with (
        RunFolder(out, name=f"graph-{scenario}", config=config, seed=seed) as folder,
        frame_by_frame(scenario, 1) as on_frame,
    ):
        play(options, folder, on_frame, logs.append)
        metrics: dict[str, Any] = judge_and_write(logs[0], folder, threshold, film=film)
        write_page(logs[0], folder, f"graph {scenario}")
    columns = ("kind", "precision", "recall", "f1", "ece", "found", "invented", "missed", "frames")
    rows = [[shown(kind[column]) for column in columns] for kind in metrics["kinds"].values()]
    emit(
        {"run": str(folder.path), **metrics},
        as_json=json,
        out=None,
        show=lambda: print_table(f"graph {scenario}", columns, rows, caption=typed("worldsim", "view", folder.path)),
    )
