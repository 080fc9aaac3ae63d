"""What the distribution holds: every package, nothing else, and what the packages need at run time."""

from __future__ import annotations

import ast
import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
TOP_LEVEL = {"worldsim", "worldsim_agents", "worldsim_scenarios", "worldsim_assets"}


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def lines(section: str, key: str) -> list[str]:
    return [line.split("#")[0].strip() for line in setup_cfg()[section][key].splitlines() if line.split("#")[0].strip()]


def roots() -> dict[str, Path]:
    return {
        name.strip(): ROOT / path.strip()
        for name, path in (line.split("=") for line in lines("options", "package_dir"))
    }


def packages_in_the_tree() -> set[str]:
    found = set()
    for package, folder in roots().items():
        for file in folder.rglob("*.py"):
            found.add(".".join((package, *file.parent.relative_to(folder).parts)))
    return found


def test_setup_cfg_lists_every_package_of_the_tree():
    assert set(lines("options", "packages")) == packages_in_the_tree()


def test_every_package_has_an_init_file_with_a_docstring():
    for package in packages_in_the_tree():
        top, *rest = package.split(".")
        assert (roots()[top].joinpath(*rest) / "__init__.py").read_text(encoding="utf-8").startswith('"""'), package


def test_the_installed_entry_points_are_those_of_setup_cfg():
    for group, declared in setup_cfg()["options.entry_points"].items():
        wanted = {line.split("=")[0].strip() for line in declared.splitlines() if line.strip()}
        installed = {p.name for p in entry_points(group=group) if p.dist is not None and p.dist.name == "worldsim-lab"}
        assert installed == wanted, f"{group}: run `make venv` (the environment is older than setup.cfg)"


def test_every_requirement_is_pinned_within_its_range_and_pins_name_no_build_and_no_place():
    pinned = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            assert version, line
            assert "+" not in version, line
            pinned[canonicalize_name(name)] = version
    extras = [line for key in setup_cfg()["options.extras_require"] for line in lines("options.extras_require", key)]
    for requirement in map(Requirement, [*lines("options", "install_requires"), *extras]):
        if requirement.name != "worldsim-lab":
            version = pinned[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), f"{requirement} is pinned at {version}"


def test_everything_that_is_imported_is_required():
    stated = [*lines("options", "install_requires")]
    stated += [line for key in ("mujoco", "ray", "train", "server") for line in lines("options.extras_require", key)]
    required = {canonicalize_name(Requirement(line).name) for line in stated}
    provided = packages_distributions()
    missing = {}
    for folder in roots().values():
        for file in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                for top in {name.partition(".")[0] for name in names} - TOP_LEVEL - sys.stdlib_module_names:
                    owners = {canonicalize_name(owner) for owner in provided.get(top, [top])}
                    if not owners & required:
                        missing.setdefault(top, file.relative_to(ROOT).as_posix())
    # what comes with a requirement and is its public face
    assert missing.keys() <= {"starlette", "markupsafe", "pydantic_core"}, missing


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the sources, so that nothing built earlier can get into it."""
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("worldsim", "agents", "scenarios", "assets"):
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    built = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", built, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return next(built.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_the_four_packages_and_no_other_top_level_name(wheel):
    with zipfile.ZipFile(wheel) as archive:
        top = {name.split("/")[0] for name in archive.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == TOP_LEVEL


@pytest.mark.slow
def test_the_wheel_holds_every_source_and_every_data_file_of_the_tree(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    for package, folder in roots().items():
        files = {f"{package}/{f.relative_to(folder).as_posix()}" for f in folder.rglob("*") if f.is_file()}
        assert {file for file in files if "__pycache__" not in file} - held == set()
    assert not [name for name in held if "__pycache__" in name or name.startswith("tests/")]


@pytest.mark.slow
def test_the_installed_wheel_works_from_another_folder(wheel, tmp_path):
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, wheel]
    subprocess.run(command, check=True, capture_output=True)
    code = (
        "import importlib, pkgutil, sys, worldsim, worldsim_agents, worldsim_scenarios, worldsim_assets\n"
        f"assert worldsim.__file__.startswith({str(target)!r}), worldsim.__file__\n"
        "for package in (worldsim, worldsim_agents, worldsim_scenarios, worldsim_assets):\n"
        "    for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        if not module.name.endswith('__main__'):\n"
        "            importlib.import_module(module.name)\n"
        "assert len(worldsim.open_registry('builtin')) >= 300\n"
        "print(worldsim.WorldModel)"
    )
    # -P and PYTHONPATH: the wheel's packages come before the editable ones of the environment that runs the tests
    environment = os.environ | {"PYTHONPATH": str(target), "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WorldModel" in done.stdout
