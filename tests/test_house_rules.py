"""The house rules that a machine can see, over the sources as they lie in the tree."""

from __future__ import annotations

import ast
import builtins
import dis
import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "worldsim": ROOT / "worldsim",
    "worldsim_agents": ROOT / "agents" / "worldsim_agents",
    "worldsim_scenarios": ROOT / "scenarios" / "worldsim_scenarios",
    "worldsim_assets": ROOT / "assets" / "worldsim_assets",
}
AT_THE_ROOT = {
    *("README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff"),
    *("Makefile", "setup.cfg", "pyproject.toml", "constraints.txt", "ruff.toml"),
    *(".ci", ".editorconfig", ".gitattributes", ".gitignore", ".importlinter", ".pre-commit-config.yaml"),
    *("worldsim", "agents", "scenarios", "assets", "tests", "docs"),
}
INSIDE_THE_WORLD_MODEL = (
    *(
        "models",
        "interactions",
        "inference",
        "graph",
        "hypotheses",
        "registry",
        "planning",
        "filtering",
        "dynamics",
        "dormancy",
        "engine",
    ),
    *("contracts", "types", "loop.py", "plugins.py", "errors.py"),
)
MAY_READ_THE_TRUTH = ("worldsim/evaluation/", "worldsim/simulation/")
RUNS_FETCHED_CODE = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
MAX_LINES = 450


def modules() -> dict[str, Path]:
    """Module name -> file of every module of the four packages."""
    found = {}
    for package, folder in PACKAGES.items():
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            found[".".join((package, *(p for p in parts if p != "__init__")))] = file
    return found


MODULES = modules()
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in MODULES.items()}


def relative(name: str) -> str:
    return MODULES[name].relative_to(ROOT).as_posix()


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a module, with ``file:line``."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Call):
            yield f"{relative(name)}:{node.lineno}", node


def imported(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def test_the_root_of_the_tree_holds_what_was_agreed_and_nothing_else():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: what belongs to the project cannot be told from what lies there")
    assert {line.split("/")[0] for line in listed.stdout.splitlines()} - AT_THE_ROOT == set()


def test_a_file_is_short_enough_to_hold_one_idea():
    long = {relative(name): len(file.read_text(encoding="utf-8").splitlines()) for name, file in MODULES.items()}
    assert {name: lines for name, lines in long.items() if lines > MAX_LINES} == {}


def test_no_module_is_named_for_nothing_in_particular():
    nothing = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc"}
    assert [name for name in MODULES if name.rpartition(".")[2] in nothing] == []


def test_nothing_unpickles_or_runs_code_from_data():
    offences = []
    for name, module in TREES.items():
        loaders = {found.partition(".")[0] for found in imported(module)} & RUNS_FETCHED_CODE
        offences += [f"{relative(name)} imports {loader}" for loader in loaders]
        for where, call in calls(name):
            called = ast.unparse(call.func)
            pickled = any(k.arg == "allow_pickle" and getattr(k.value, "value", True) for k in call.keywords)
            tensors = called == "torch.load" and any(
                k.arg == "weights_only" and getattr(k.value, "value", False) is True for k in call.keywords
            )
            unsafe = {"eval", "exec", "compile", "__import__", "torch.load", "torch.save"}
            if pickled or (called in unsafe and not tensors):
                offences.append(f"{where} calls {called}")
    assert offences == []


def test_only_scoring_and_the_simulation_touch_the_truth():
    offences = [
        f"{relative(name)}:{node.lineno}"
        for name, module in TREES.items()
        if not relative(name).startswith(MAY_READ_THE_TRUTH)
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute) and node.attr == "truth"
    ]
    assert offences == []


def test_the_world_model_never_imports_the_simulation():
    outside = ("worldsim.simulation", "pybullet", "mujoco", "gymnasium", "stable_baselines3")
    inside = [
        n for n in MODULES if relative(n).startswith(tuple(f"worldsim/{part}" for part in INSIDE_THE_WORLD_MODEL))
    ]
    assert len(inside) > len(INSIDE_THE_WORLD_MODEL)
    offences = [
        f"{relative(n)} imports {found}" for n in inside for found in imported(TREES[n]) if found.startswith(outside)
    ]
    assert offences == []


def test_every_public_name_has_a_docstring():
    offences = [relative(name) for name, module in TREES.items() if not ast.get_docstring(module)]
    for name, module in TREES.items():
        for node in public(module.body):
            methods = list(public(node.body)) if isinstance(node, ast.ClassDef) else []
            named = [
                m
                for m in methods
                if not any(ast.unparse(d).endswith((".setter", "overload")) for d in m.decorator_list)
            ]
            offences += [f"{relative(name)}:{n.lineno} {n.name}" for n in (node, *named) if not ast.get_docstring(n)]
    assert offences == []


def test_all_lists_nothing_that_is_not_there_and_a_package_lists_everything_that_it_gathers():
    offences = []
    for name, module in TREES.items():
        declared = [
            node.value
            for node in module.body
            if isinstance(node, ast.Assign) and any(ast.unparse(target) == "__all__" for target in node.targets)
        ]
        if not declared:
            continue
        names = list(ast.literal_eval(declared[0]))
        there = importlib.import_module(name)
        offences += [f"{relative(name)}: {n} is listed and not there" for n in names if not hasattr(there, n)]
        offences += [f"{relative(name)}: {n} is listed twice" for n in set(names) if names.count(n) > 1]
        only_gathers = not any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AnnAssign) for node in module.body)
        if MODULES[name].name == "__init__.py" and only_gathers:
            gathered = {
                alias.asname or alias.name
                for node in module.body
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("worldsim")
                for alias in node.names
            }
            offences += [f"{relative(name)}: {n} is gathered and not listed" for n in gathered - set(names)]
    assert offences == []


def code_within(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from code_within(constant)


def unknown_names(module: ast.Module) -> set[str]:
    """Names that a function of the module reads and that neither the module nor Python has."""
    whole = compile(module, "", "exec")
    known = {*dir(builtins), "__file__"} | {i.argval for i in dis.get_instructions(whole) if i.opname == "STORE_NAME"}
    made = ("STORE_GLOBAL", "LOAD_GLOBAL")
    used = [(i.opname, i.argval) for code in code_within(whole) for i in dis.get_instructions(code) if i.opname in made]
    return {name for how, name in used if how == "LOAD_GLOBAL"} - known - {n for how, n in used if how == made[0]}


def test_no_function_uses_a_name_that_its_module_does_not_have():
    """Ruff and mypy are told not to look: jaxtyping's axis letters are no names either."""
    assert unknown_names(ast.parse("import os\ndef f(): return os, sys, len")) == {"sys"}
    assert {relative(name): found for name, module in TREES.items() if (found := unknown_names(module))} == {}


def test_worldsim_lists_its_public_names():
    import worldsim

    assert set(worldsim.__all__) <= set(dir(worldsim))
    with pytest.raises(AttributeError, match="WorldModel"):
        _ = worldsim.WorldModl


def test_randomness_comes_from_a_generator_that_was_passed_in():
    """Neither NumPy's, nor Python's, nor torch's hidden global generator is drawn from."""
    drawn = re.compile(r"(?:np|numpy)\.random\.(\w+)|torch\.(manual_seed|rand\w*|normal)$")
    drawn_or_pythons = re.compile(drawn.pattern + r"|random\.(\w+)")
    made = {"default_rng", "Generator", "SeedSequence", "PCG64", "RandomState", "Random"}  # generators of one's own
    offences = []
    for name, module in TREES.items():
        hidden = drawn_or_pythons if "random" in set(imported(module)) else drawn
        for where, call in calls(name):
            found = hidden.match(ast.unparse(call.func))
            passed = any(k.arg == "generator" for k in call.keywords)
            if found and not made & set(found.groups()) and not passed:
                offences.append(f"{where} {found[0]}")
    assert offences == []
