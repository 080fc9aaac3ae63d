"""The command line: a table of commands, each imported when it is called."""

from __future__ import annotations

import errno
import importlib
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

import worldsim
from worldsim import huge_pages
from worldsim.errors import WorldsimError

__all__ = ["COMMANDS", "COMPUTING", "Deferred", "build", "main"]

COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("demo", "worldsim.commands.demo:demo", "Run the cat in the warehouse, end to end."),
    ("list", "worldsim.commands.list_names:list_names", "List scenarios, models, interactions, agents, assets, cards."),
    ("run", "worldsim.commands.run:run", "Run a scenario with an agent and a world model."),
    ("ask", "worldsim.commands.ask:ask", "Answer a what-if question from the belief of a run."),
    ("train", "worldsim.commands.train:train", "Train a learning agent on a scenario."),
    ("graph", "worldsim.commands.graph:graph", "Infer the interaction graph of a scenario and score it."),
    ("track", "worldsim.commands.track:track", "Run the world model over a recording of the real world."),
    ("transfer", "worldsim.commands.transfer:transfer", "Sim-to-real: models beside engines on recordings."),
    ("identify", "worldsim.commands.identify:identify", "Fit an engine's parameters to recordings, offline."),
    ("accuracy", "worldsim.commands.accuracy:accuracy", "How far each engine is from the laws of mechanics."),
    ("registry", "worldsim.commands.registry:app", "Fill, search, fetch, publish, verify and describe a registry."),
    ("data", "worldsim.commands.data:app", "Recorded and reference data: list them, fetch them."),
    ("bench", "worldsim.commands.bench:bench", "Run one benchmark, as figures beside its baselines."),
    ("results", "worldsim.commands.results:results", "Write the page of published figures from what commands printed."),
    ("view", "worldsim.commands.view:view", "Show a run in the browser."),
)
"""(name, ``module:attribute`` of a function or of a Typer app, one line of help)."""
COMPUTING = frozenset({"demo", "run", "ask", "train", "graph", "track", "transfer", "identify", "accuracy", "bench"})
"""The commands that compute for seconds or more, and so begin with huge pages."""


_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""What a disk says that is full or may not be written to: no fault of the program."""


class Deferred(TyperCommand):
    """A command known by name and help alone; the code behind it is imported when it is called."""

    def __init__(self, name: str, target: str, summary: str) -> None:
        """Store where the command is; import nothing."""
        super().__init__(name=name, help=summary, callback=None)
        self.target = target

    def load(self) -> Any:
        """Import the command; return it as Typer's own object."""
        module, _, attribute = self.target.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            command: Any = typer.main.get_group(found)
        else:
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            alone.command(self.name)(found)
            command = typer.main.get_command(alone)
        command.name = self.name
        return command

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the arguments with the command's own parser; the context it returns runs the real command."""
        return self.load().make_context(info_name, args, parent, **extra)


def build() -> TyperGroup:
    """Return the whole command line."""
    app = typer.Typer(name="worldsim", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_worldsim)
    group = typer.main.get_group(app)
    for name, target, summary in COMMANDS:
        group.add_command(Deferred(name, target, summary))
    return group


def main() -> None:
    """Run the command line; an error that worldsim raised on purpose is one line on standard error, status 1.

    So is a package that only an extra brings and that is not installed, and a disk that is full or read-only.
    """
    if COMPUTING.intersection(sys.argv[1:2]):
        huge_pages.started_anew()
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        build()()
    except WorldsimError as error:
        typer.echo(f"worldsim: error: {error}", err=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        from worldsim.extras import advice

        if advice(error.name) is None:
            raise
        typer.echo(f"worldsim: error: {error.name} is not installed: {advice(error.name)}.", err=True)
        sys.exit(1)
    except BrokenPipeError:  # the reader of a pipe went away; there is nobody to tell
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        where = f"cannot write {error.filename}" if error.filename else "cannot write"
        typer.echo(f"worldsim: error: {where}: {error.strerror}. Free space, or name another place by --out.", err=True)
        sys.exit(1)


def _interrupt(*_: object) -> NoReturn:
    """Take SIGTERM, which schedulers and `timeout` send, for Ctrl-C: what was done is kept and called interrupted."""
    raise KeyboardInterrupt


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"worldsim {worldsim.__version__}")
        raise typer.Exit


def _worldsim(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A world model that runs a small physics engine on beliefs."""
    del version
