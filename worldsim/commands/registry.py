"""``worldsim registry``: fill, serve, search, fetch, publish, verify, carry and clear a registry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldsim.commands.options import Json, Out, Seed, emit, print_table, tell
from worldsim.errors import ConfigurationError, UnknownNameError, WorldsimError

if TYPE_CHECKING:
    from worldsim.registry import HttpRegistry, StoredRegistry
    from worldsim.types.card import ModelCard
    from worldsim.types.query import Query

__all__ = ["app"]

UNSOUND = 3
"""Exit status of ``verify`` when something is damaged and could not be put right."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Address = Annotated[
    str,
    typer.Option("--registry", envvar="WORLDSIM_REGISTRY", help="builtin, sqlite:///file.db, http://host:port ..."),
]
ModelName = Annotated[str, typer.Argument(metavar="MODEL[@VERSION]", help="For example cat/cat-tabby-medium-00@1.")]


@app.callback()
def registry() -> None:
    """Work with a registry of object models and kinds of interaction."""


@app.command()
def init(
    url: Annotated[str, typer.Argument(help="Where to keep it.")] = "sqlite:///registry.db",
    empty: Annotated[bool, typer.Option("--empty", help="Leave the shipped cards out.")] = False,
    synthetic: Annotated[int, typer.Option("--synthetic", min=0, help="Add synthetic models up to this many.")] = 0,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Make a registry at URL and fill it with the shipped cards; those that are there already are left alone.

    With --synthetic N it is filled up with N models of all families, varied around the shipped ones; an interrupted
    filling goes on where it stopped.
    """
    from worldsim.registry.builtin import shipped_models

    _must_keep(url)
    with _open_stored(url, existing=False) as registry:
        items = [] if empty else list(shipped_models())
        added = registry.store_missing(items) if items else 0
        added += _grow(registry, synthetic, seed) if synthetic else 0
        models = len(registry)
        registry.index.build_if_stale(tell)
        result = {"registry": registry.database.name, "added": added, "models": models}
    emit(result, as_json=json, out=out, show=lambda: typer.echo(_sentence(result)))


@app.command()
def serve(  # noqa: PLR0913 - the options of a command
    url: Annotated[str, typer.Argument(help="The registry to serve.")] = "sqlite:///registry.db",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8766,
    token: Annotated[
        str | None,
        typer.Option(envvar="WORLDSIM_REGISTRY_TOKEN", help="What writers must send; without it, no writes."),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let anyone read, beyond this machine too.")] = False,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second that one client may send.")] = 500.0,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Serve a registry over HTTP until interrupted; --json prints the address as JSON, --out writes it to a file."""
    del seed
    from worldsim.registry.serving import run_service

    def listening(address: str) -> None:
        emit({"url": address, "registry": url}, as_json=json, out=out, show=lambda: typer.echo(f"serving {address}"))

    with _open_stored(url, existing=False) as registry:
        if not len(registry):
            tell(f"{url} is empty; 'worldsim registry init {url}' would fill it with the shipped cards.")
        run_service(registry, host, port, token=token, public=public, requests_per_s=rate, listening=listening)


@app.command()
def search(  # noqa: PLR0913 - one option a part of the description
    address: Address = "builtin",
    k: Annotated[int, typer.Option("-k", help="At most this many candidates.")] = 8,
    like: Annotated[str | None, typer.Option(help="Search for what is like this model.")] = None,
    extent: Annotated[str | None, typer.Option(help="Size in m: X,Y,Z.")] = None,
    motion: Annotated[list[str] | None, typer.Option(help="A motion statistic, NAME=VALUE; may be repeated.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only models of this kind.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only models with this tag.")] = None,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Find the models nearest to a description."""
    del seed
    with _open(address) as registry:
        query = _query(registry, like, extent, motion or [], kind)
        found = registry.search(query, k, tag=tag)
    rows = [
        {"model_id": c.model_id, "version": c.version, "kind": c.kind, "family": c.family, "distance": d}
        for c, d in zip(found.cards, found.distances, strict=True)
    ]
    show = [(r["model_id"], r["version"], r["kind"], f"{r['distance']:.3f}") for r in rows]
    columns = ("model", "version", "kind", "distance")
    if not rows:
        asked = [f"--{name} {value}" for name, value in (("kind", kind), ("tag", tag)) if value is not None]
        passing = f"passes {' and '.join(asked)}" if asked else "is there"
        tell(f"nothing in {address} {passing}; 'worldsim registry stats' lists the kinds and tags that there are.")
    emit({"candidates": rows}, as_json=json, out=out, show=lambda: print_table("candidates", columns, show))


@app.command()
def kinds(  # noqa: PLR0913 - one option a part of the description
    address: Address = "builtin",
    k: Annotated[int, typer.Option("-k", help="At most this many.")] = 8,
    like: Annotated[str | None, typer.Option(help="Search for laws like this interaction's.")] = None,
    between: Annotated[str | None, typer.Option(help="Met between things of these kinds: A,B.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only the kind of this name.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Find kinds of interaction; without a description, the first by id."""
    del seed
    from worldsim.commands.registry_kinds import kind_query, show_kinds

    with _open(address) as registry:
        found = registry.interactions.search(kind_query(registry, like, between, kind), k, tag=tag)
    show_kinds(found, as_json=json, out=out)


@app.command()
def fetch(model: ModelName, address: Address = "builtin", json: Json = False, seed: Seed = 0, out: Out = None) -> None:
    """Fetch a model or interaction, checksum verified; with --out, write its three files into that folder."""
    del seed
    from worldsim.commands.registry_kinds import fetch_kind
    from worldsim.errors import ModelNotFoundError
    from worldsim.registry import save_pretrained

    model_id, version = _split(model)
    with _open(address) as registry:
        try:
            found, stream = registry.fetch_with_stream(model_id, version)
        except ModelNotFoundError:
            if fetch_kind(registry, model_id, version, as_json=json, out=out):
                return
            raise
    if out is not None:
        save_pretrained(found, out, stream)
    result = _card_result(found.card) | ({"folder": str(out)} if out is not None else {})
    rows = [(p.name, f"{p.mean:.4g}", f"{p.std:.3g}", p.unit) for p in found.card.parameters]
    title = f"{found.card.model_id}@{found.card.version}: {found.card.kind}, {found.card.family}"
    columns = ("parameter", "prior median", "spread", "unit")
    emit(result, as_json=json, out=None, show=lambda: print_table(title, columns, rows))


@app.command()
def publish(
    folder: Annotated[Path, typer.Argument(help="Folder with config.json and model.safetensors.")],
    address: Address = "builtin",
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Store the model or interaction in FOLDER as the next version of its id."""
    del seed
    from worldsim.registry import load_interaction
    from worldsim.registry.artefact import open_model, read_files, read_pretrained
    from worldsim.registry.interaction_cards import is_interaction

    _must_keep(address)
    # read before the registry is opened, which makes one where there is none
    if is_interaction(read_files(folder)[0]):
        kind = load_interaction(folder)
        with _open(address, existing=False) as registry:
            known = _newest(registry.interactions.fetch, kind.card.model_id)
            name = registry.interactions.publish(kind)
    else:
        model, stream = open_model(*read_pretrained(folder))
        with _open(address, existing=False) as registry:
            known = _newest(registry.fetch, model.card.model_id)
            name = registry.publish(model, stream)
    result = {"published": name, "registry": address, "new": name != known}
    told = (
        f"published {name} in {address}" if result["new"] else f"{name} is in {address} already, the same to the byte"
    )
    emit(result, as_json=json, out=out, show=lambda: typer.echo(told))


def _newest(fetch: Callable[[str], Any], model_id: str) -> str | None:
    """Return ``id@version`` of the newest version of an id, None where there is none that can be read."""
    try:
        return f"{model_id}@{fetch(model_id).card.version}"
    except WorldsimError:
        return None


@app.command()
def verify(
    address: Address = "builtin",
    repair: Annotated[bool, typer.Option("--repair", help="Rebuild what follows from the cards.")] = False,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Hash every byte again and look for orphans; exit status 3 where something is lost."""
    del seed
    from worldsim.registry.maintenance import verify as look

    with _open_stored(address) as registry, _bar("versions") as hashed:
        found = look(registry, repair=repair, progress=hashed)
    rows = [(f.what, f.where, f.problem, "repaired" if f.repaired else "") for f in found.findings]
    title = f"{found.versions} versions, {found.bytes} bytes: {'sound' if found.sound else 'DAMAGED'}"
    columns = ("what", "where", "problem", "")
    emit(found.report(), as_json=json, out=out, show=lambda: print_table(title, columns, rows))
    if not found.sound:
        raise typer.Exit(UNSOUND)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="A new folder, or a file ending in .tar, .tar.gz or .tgz.")],
    address: Address = "builtin",
    model: Annotated[list[str] | None, typer.Option(help="Only this model; may be repeated.")] = None,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Write every version of every model to PATH, from where `import` takes it into another registry."""
    del seed
    from worldsim.registry.portable import export_models

    with _open_stored(address) as registry, _bar("versions") as moved:
        done = export_models(registry, path, model, moved)
    result = {"path": str(done.path), "models": done.models, "versions": done.versions, "bytes": done.bytes}
    sentence = f"{done.versions} versions of {done.models} models exported to {done.path}"
    emit(result, as_json=json, out=out, show=lambda: typer.echo(sentence))


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(exists=True, help="What `export` wrote.")],
    address: Address = "builtin",
    renumber: Annotated[bool, typer.Option("--renumber", help="Where a version is taken, store the next one.")] = False,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Store the models in PATH, all of them or none; every byte is checked first."""
    del seed
    from worldsim.registry.portable import import_models

    _must_keep(address)
    with _open_stored(address, existing=False) as registry, _bar("versions") as moved:
        done = import_models(registry, path, renumber, moved)
    result = {"stored": done.stored, "skipped": done.skipped, "renumbered": done.renumbered, "registry": address}
    sentence = f"{done.stored} versions stored, {done.skipped} were there, {len(done.renumbered)} renumbered"
    emit(result, as_json=json, out=out, show=lambda: typer.echo(sentence))


@app.command()
def gc(
    address: Address = "builtin",
    keep: Annotated[
        int | None, typer.Option("--keep-versions", min=1, help="Also delete all but the newest N of each model.")
    ] = None,
    json: Json = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Delete bytes that no model refers to; with --keep-versions, old versions that nothing names as well.

    Nothing else ever deletes. A version that an alias names, or that is a parent of another, is kept.
    """
    del seed
    from dataclasses import asdict

    from worldsim.registry.maintenance import collect_garbage

    _must_keep(address)
    with _open_stored(address) as registry:
        done = collect_garbage(registry, keep_versions=keep)
    sentence = f"{done.versions} versions and {done.bytes} bytes in {done.blobs} blobs deleted"
    emit(asdict(done), as_json=json, out=out, show=lambda: typer.echo(sentence))


@app.command()
def stats(address: Address = "builtin", json: Json = False, seed: Seed = 0, out: Out = None) -> None:
    """Say what is in a registry."""
    del seed
    from worldsim.registry.maintenance import statistics

    with _open_stored(address) as registry:
        result = statistics(registry)
    rows = [(name, ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value))
            for name, value in result.items()]  # fmt: skip
    emit(result, as_json=json, out=out, show=lambda: print_table("registry", ("", ""), rows))


def _open(url: str, *, existing: bool = True) -> StoredRegistry | HttpRegistry:
    from worldsim.registry import open_existing, open_registry

    return open_existing(url) if existing else open_registry(url)


def _open_stored(url: str, *, existing: bool = True) -> StoredRegistry:
    from worldsim.registry import open_stored

    return open_stored(url, existing=existing)


_NOWHERE = ("builtin", "sqlite://", "sqlite:///", "sqlite:///:memory:")
"""Addresses of registries in memory."""


def _must_keep(address: str) -> None:
    if address in _NOWHERE:
        raise ConfigurationError(
            f"what is stored in '{address}' is gone when the command ends; name a registry that keeps, for example "
            "--registry sqlite:///registry.db (made by 'worldsim registry init')."
        )


def _grow(registry: StoredRegistry, count: int, seed: int) -> int:
    from worldsim.registry.growth import grow

    with _bar("synthetic models") as grown:
        return grow(registry, count, seed, grown)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows how many of how many are done, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _query(
    registry: StoredRegistry | HttpRegistry, like: str | None, extent: str | None, motion: list[str], kind: str | None
) -> Query:
    from worldsim.registry.descriptor import MOTION_STATISTICS
    from worldsim.types.query import Query

    try:
        edges = None if extent is None else tuple(float(edge) for edge in extent.split(","))
        stated = {name: float(value) for name, _, value in (item.partition("=") for item in motion)}
    except ValueError as error:
        raise ConfigurationError(f"--extent takes X,Y,Z in metres, --motion takes NAME=VALUE: {error}.") from error
    for name in stated:
        if name not in MOTION_STATISTICS:
            raise UnknownNameError("motion statistic", name, MOTION_STATISTICS)
    if edges is not None and len(edges) != 3:
        raise ConfigurationError(f"--extent {extent!r}: expected three edges, X,Y,Z in metres.")
    if like is None:
        return Query(extent_m=edges, motion=stated, kind=kind)
    card = registry.card(*_split(like))
    return Query(
        extent_m=edges or card.shape.extent_m,
        appearance=card.descriptor.appearance,
        motion={**card.descriptor.motion, **stated},
        kind=kind,
        exclude=frozenset({card.model_id}),
    )


def _split(model: str) -> tuple[str, int | None]:
    model_id, at, version = model.partition("@")
    if at and re.fullmatch(r"[0-9]{1,9}", version) is None:
        raise ConfigurationError(
            f"model {model[:120]!r}: its version {version[:40]!r} is no number of at most nine digits; expected for "
            f"example {model_id[:80]}@1."
        )
    return model_id, int(version) if at else None


def _card_result(card: ModelCard) -> dict[str, Any]:
    from json import loads

    from worldsim.registry.cards import card_to_json

    return {"card": loads(card_to_json(card))}


def _sentence(result: dict[str, Any]) -> str:
    return f"{result['registry']}: {result['added']} models added, {result['models']} in all"
