"""``worldsim list``: what is installed."""

from __future__ import annotations

import enum
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Annotated, Any

import typer

from worldsim.commands.options import Json, Out, Seed, emit, print_table

__all__ = ["What", "list_names"]


class What(enum.StrEnum):
    """What can be listed."""

    SCENARIOS = "scenarios"
    MODELS = "models"
    INTERACTIONS = "interactions"
    AGENTS = "agents"
    ASSETS = "assets"
    REGISTRY = "registry"


_GROUPS = {
    What.SCENARIOS: "worldsim.scenarios",
    What.MODELS: "worldsim.object_models",
    What.INTERACTIONS: "worldsim.interactions",
    What.AGENTS: "worldsim.agents",
}
_NOUN = {What.ASSETS: "files", What.REGISTRY: "model cards"}


def list_names(
    what: Annotated[What, typer.Argument(help="What to list.")],
    check: Annotated[
        bool, typer.Option("--check", help="Import every plug-in; an error names the broken one.")
    ] = False,
    source: Annotated[str, typer.Option("--registry", help="Which registry to list: builtin or a URL.")] = "builtin",
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """List what is installed; plug-ins are listed by name, and imported only with --check."""
    del seed
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    if what in _GROUPS:
        columns, rows = ("name", "class", "distribution", "summary"), _plugins(_GROUPS[what], check=check)
    elif what is What.ASSETS:
        columns, rows = ("file", "bytes"), _assets()
    else:
        columns, rows = ("model", "version", "kind", "family"), _cards(source)
    items = [dict(zip(columns, row, strict=True)) for row in rows]
    shown = [name for name in columns if name != "class"]  # where it is written; for programs and --json
    table = [[item[name] for name in shown] for item in items]
    emit(
        {"listed": what.value, "count": len(items), "items": items},
        as_json=json,
        out=out,
        show=lambda: print_table(what.value, shown, table, caption=f"{len(rows)} {_NOUN.get(what, what.value)}"),
    )


def _plugins(group: str, *, check: bool) -> list[tuple[Any, ...]]:
    from worldsim.plugins import load_plugin, plugin_names, plugin_summary

    table = plugin_names(group)
    if check:
        for name in table:
            load_plugin(group, name, _contract(group))
    return [(name, p.value, p.dist.name if p.dist else "", plugin_summary(p)) for name, p in sorted(table.items())]


def _contract(group: str) -> type:
    from worldsim.contracts import Interaction, ObjectModel, Scenario
    from worldsim.contracts.agent import Agent

    return {
        "worldsim.scenarios": Scenario,
        "worldsim.object_models": ObjectModel,
        "worldsim.interactions": Interaction,
        "worldsim.agents": Agent,
    }[group]


def _assets() -> list[tuple[Any, ...]]:
    return sorted(_files(files("worldsim_assets"), ""))


def _files(folder: Traversable, prefix: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__":
                found += _files(entry, f"{prefix}{entry.name}/")
        elif not entry.name.endswith((".py", ".pyc", ".typed")):
            found.append((f"{prefix}{entry.name}", len(entry.read_bytes())))
    return found


def _cards(source: str) -> list[tuple[Any, ...]]:
    from worldsim.registry import open_existing

    return [(card.model_id, card.version, card.kind, card.family) for card in open_existing(source).cards()]
