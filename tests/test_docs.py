"""Text stays true by being executed: the README's and the docs' code, the doctests, and the commands they name."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from worldsim.cli import build

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
SOURCES = {
    "worldsim": ROOT / "worldsim",
    "worldsim_agents": ROOT / "agents" / "worldsim_agents",
    "worldsim_scenarios": ROOT / "scenarios" / "worldsim_scenarios",
    "worldsim_assets": ROOT / "assets" / "worldsim_assets",
}


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> list[str]:
    return [code for language, code in BLOCK.findall(page.read_text(encoding="utf-8")) if language in languages]


def modules_with_doctests() -> list[str]:
    found = []
    for package, folder in SOURCES.items():
        for file in sorted(folder.rglob("*.py")):
            if ">>>" in file.read_text(encoding="utf-8"):
                parts = file.relative_to(folder).with_suffix("").parts
                found.append(".".join((package, *(p for p in parts if p != "__init__"))))
    return found


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=page_id)
def test_the_python_blocks_of_a_page_run_from_top_to_bottom(page, tmp_path):
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks(page, "python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=os.environ | {"WORLDSIM_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "sh", "console", "")], ids=page_id)
def test_the_commands_of_a_page_exist_with_the_options_it_gives_them(page):
    words = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for block in blocks(page, "sh", "console"):
        for line in block.splitlines():
            command = shlex.split(line.removeprefix("$ "), comments=True)
            match command:
                case ["worldsim", name, *arguments]:
                    group = build()
                    with group.make_context("worldsim", [name, *arguments]) as context:
                        _, found, rest = group.resolve_command(context, [name, *arguments])
                        assert found is not None
                        parse(found, name, rest, context)
                case ["make", word, *_]:
                    assert word in words


def parse(command, name, arguments, parent):
    """Parse the arguments of a command, and of its subcommand if it is a group; a wrong one raises."""
    try:
        made = command.make_context(name, arguments, parent=parent)
    except Exception as error:
        if str(error).endswith("does not exist."):  # an example's folder is the reader's, not ours
            return
        raise
    with made as context:
        real = context.command
        if hasattr(real, "resolve_command"):
            rest = [*context._protected_args, *context.args]
            sub_name, sub, sub_rest = real.resolve_command(context, rest)
            parse(sub, sub_name, sub_rest, context)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_the_files_that_a_page_links_to_exist(page):
    targets = [page.parent / target for target in LINK.findall(page.read_text(encoding="utf-8"))]
    assert [str(target) for target in targets if not target.exists()] == []


@pytest.mark.parametrize("name", modules_with_doctests())
def test_the_examples_in_docstrings_print_what_they_say(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
