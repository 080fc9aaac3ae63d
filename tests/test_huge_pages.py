"""A command that computes starts itself anew on huge pages, once, and only where that changes anything."""

import os
import pathlib
import subprocess
import sys

import pytest

from worldsim import cli, huge_pages

PROGRAM = """
import os, pathlib, sys
from worldsim import huge_pages
huge_pages.started_anew()
kept = bytearray(3 << 16)
heap = pathlib.Path("/proc/self/smaps").read_text().partition("[heap]")[2].partition("VmFlags:")[2].splitlines()[0]
print(os.environ.get("GLIBC_TUNABLES"), "hg" in heap.split(), *sys.argv[1:])
"""

on_request_only = pytest.mark.skipif(
    huge_pages.tuned({}) is None, reason="this system does not give huge pages to those who ask (or has no glibc)"
)


@pytest.fixture
def on_request(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    setting = tmp_path / "enabled"
    setting.write_text("always [madvise] never\n", encoding="ascii")
    monkeypatch.setattr(huge_pages, "_SYSTEM_SETTING", setting)
    return setting


def played(tmp_path: pathlib.Path, arguments: list[str], **environment: str) -> list[str]:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if name != huge_pages.VARIABLE}
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        env={**kept, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@on_request_only
def test_a_command_starts_anew_and_its_heap_asks_for_huge_pages(tmp_path: pathlib.Path) -> None:
    assert played(tmp_path, ["a", "b c"]) == ["glibc.malloc.hugetlb=1", "True", "a", "b", "c"]


@on_request_only
def test_who_asked_for_small_pages_keeps_them(tmp_path: pathlib.Path) -> None:
    small = "glibc.malloc.hugetlb=0"
    assert played(tmp_path, ["a"], GLIBC_TUNABLES=small) == [small, "False", "a"]


@on_request_only
def test_other_tunables_are_kept(tmp_path: pathlib.Path) -> None:
    given = played(tmp_path, ["a"], GLIBC_TUNABLES="glibc.malloc.tcache_count=7")
    assert given == ["glibc.malloc.tcache_count=7:glibc.malloc.hugetlb=1", "True", "a"]


def test_a_program_that_calls_the_command_line_is_not_replaced(on_request: pathlib.Path, monkeypatch) -> None:
    monkeypatch.delenv(huge_pages.VARIABLE, raising=False)
    monkeypatch.setattr(sys, "argv", ["worldsim", "bench", "nothing-of-this-name"])
    with pytest.raises(SystemExit) as ended:
        cli.main()  # replaced, this test would never end
    assert ended.value.code != 0


@pytest.mark.parametrize("setting", ["[always] madvise never", "always madvise [never]", None])
def test_nothing_is_asked_for_where_it_changes_nothing(on_request: pathlib.Path, setting: str | None) -> None:
    if setting is None:
        on_request.unlink()
    else:
        on_request.write_text(setting, encoding="ascii")
    assert huge_pages.tuned({}) is None
    assert huge_pages.are_asked_for({}) is (setting is not None and "[always]" in setting)


def test_what_a_process_computes_on_is_told(on_request: pathlib.Path) -> None:
    assert not huge_pages.are_asked_for({})
    assert huge_pages.are_asked_for({huge_pages.VARIABLE: "glibc.malloc.tcache_count=7:glibc.malloc.hugetlb=1"})


def test_every_command_that_computes_is_a_command() -> None:
    assert {name for name, _, _ in cli.COMMANDS} >= cli.COMPUTING
