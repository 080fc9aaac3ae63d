"""``worldsim view``: the folder of a run, served on this machine alone and opened in the browser."""

from __future__ import annotations

import functools
import http.server
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer

from worldsim.commands.options import Json, Out, Seed, emit

__all__ = ["make_server", "view"]

_LOOPBACK = "127.0.0.1"
_PAGES = ("report.html", "transfer.html", "accuracy.html", "learning-curves.html")
"""What a folder is opened at, the first that is there."""


def view(
    run: Annotated[Path, typer.Argument(help="The folder that a run wrote.")],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Serve the folder that a command wrote with --out on 127.0.0.1, open its page in the browser; Ctrl-C ends it."""
    del seed
    from worldsim.evaluation.run_folder import RUN, read_run

    page = next((name for name in _PAGES if (run / name).is_file()), "")
    content = read_run(run) if (run / RUN).is_file() or not page else {}
    with make_server(run, port) as server:
        url = f"http://{_LOOPBACK}:{server.server_port}/{page}"
        shown = {"url": url, "run": str(run), "name": content.get("name"), "status": content.get("status")}
        emit(shown, as_json=json, out=out, show=lambda: typer.echo(f"{url}  (Ctrl-C ends it)"))
        if browser:
            webbrowser.open(url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


def make_server(run: Path, port: int) -> http.server.ThreadingHTTPServer:
    """Return a server of the files in `run` on the loopback address; the caller runs and closes it.

    Raises:
        ConfigurationError: the port is taken or may not be opened.
    """
    from worldsim.errors import ConfigurationError

    handler = functools.partial(_Quiet, directory=str(run))
    try:
        return http.server.ThreadingHTTPServer((_LOOPBACK, port), handler)
    except OSError as error:
        raise ConfigurationError(f"--port {port}: {error.strerror or error}; --port 0 takes a free one.") from error


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line on standard error for each."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
