"""Writes `report.html`: one page that holds everything it shows and asks the network for nothing."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from worldsim.evaluation.cat_scoring import score_episode
from worldsim.evaluation.episode import EpisodeLog
from worldsim.evaluation.jsonable import dump_json
from worldsim.evaluation.report.numbers import facts, numbers
from worldsim.evaluation.report.palette import DARK, LIGHT
from worldsim.evaluation.report.sections import FILM_CAPTION, sections
from worldsim.evaluation.report.story import headline, subject, tell
from worldsim.evaluation.run_folder import atomic_write
from worldsim.types.record import EventKind

__all__ = ["Illustration", "how_made", "render_report", "write_report"]

_AFTER_ALARM_S = 0.3


@dataclass(frozen=True, slots=True)
class Illustration:
    """A picture with a section of its own.

    Attributes:
        title: of the section.
        path: a PNG, embedded.
        caption: what it shows.
    """

    title: str
    path: Path
    caption: str

    @property
    def png_base64(self) -> str:
        """The file, as the page embeds it."""
        return base64.b64encode(self.path.read_bytes()).decode("ascii")


def write_report(
    log: EpisodeLog,
    path: Path,
    *,
    title: str,
    run: Mapping[str, Any],
    video: Path | None = None,
    beside: Sequence[str] = (),
    film_caption: str = FILM_CAPTION,
    illustrations: Sequence[Illustration] = (),
) -> Path:
    """Write the report of an episode to `path`, whole or not at all; return the path.

    Args:
        log: what happened.
        path: the page.
        title: a few words above the headline.
        run: the run's record (config, seed, versions), shown at the end.
        video: an MP4 to embed.
        beside: names of further files in the run's folder.
        film_caption: what the video shows.
        illustrations: further sections of one picture each, before the others.
    """
    film = base64.b64encode(video.read_bytes()).decode("ascii") if video is not None else ""
    page = render_report(
        log,
        title=title,
        run=run,
        video_base64=film,
        beside=beside,
        film_caption=film_caption,
        illustrations=illustrations,
    )
    with atomic_write(path) as file:
        file.write(page.encode("utf-8"))
    return path


def render_report(
    log: EpisodeLog,
    *,
    title: str,
    run: Mapping[str, Any],
    video_base64: str = "",
    beside: Sequence[str] = (),
    film_caption: str = FILM_CAPTION,
    illustrations: Sequence[Illustration] = (),
) -> str:
    """Return the page as text. What comes from the run is escaped; style, script and drawings are our own."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    score = score_episode(log)
    first_s, last_s = log.frames[0].time_s, log.frames[-1].time_s
    return environment.from_string(_resource("page.html.jinja")).render(
        title=title,
        headline=headline(log),
        light=LIGHT,
        dark=DARK,
        css=Markup(_resource("page.css")),
        js=Markup(_resource("page.js")),
        facts=facts(log, score),
        video=video_base64,
        film_caption=film_caption,
        illustrations=list(illustrations),
        start_s=first_s,
        end_s=max(last_s, first_s + log.dt_s),
        show_s=_telling_moment(log),
        moments=tell(log),
        sections=sections(log),
        numbers=numbers(log, score),
        made=_made(log, run),
        run_json=dump_json(how_made(run), indent=2),
        files=list(beside),
    )


def how_made(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's record without what is known only after its page is written."""
    return {name: value for name, value in run.items() if name not in ("status", "seconds")}


def _resource(name: str) -> str:
    return files("worldsim.evaluation.report").joinpath(name).read_text(encoding="utf-8")


def _telling_moment(log: EpisodeLog) -> float | None:
    """Return when the subject had just raised its alarm, None where nothing did."""
    who = subject(log)
    alarms = [e.time_s for e in log.events() if e.kind is EventKind.ALARM and e.object_id == who]
    return alarms[0] + _AFTER_ALARM_S if alarms else None


def _made(log: EpisodeLog, run: Mapping[str, Any]) -> str:
    source = f"commit {run['commit']}" if run.get("commit") else "an installed package"
    return (
        f"One episode of {log.scenario.partition('(')[0]}, seed {log.seed}: {len(log.frames)} frames of "
        f"{1e3 * log.dt_s:.0f} ms, from {source}."
    )
