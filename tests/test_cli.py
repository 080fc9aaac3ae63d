"""The command line: what it lists, how it fails, how quickly it answers."""

from __future__ import annotations

import http.server
import itertools
import json
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from worldsim.cli import COMMANDS, build
from worldsim.commands.options import print_table
from worldsim.commands.train import _commands, _shown
from worldsim.errors import ConfigurationError, UnknownNameError
from worldsim.evaluation.bench import BENCHMARKS, BenchOptions, Figure
from worldsim.evaluation.run_folder import RunFolder
from worldsim.evaluation.scenario_fields import read_fields
from worldsim.evaluation.training import TrainOptions


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "worldsim", *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


def commands():
    """Yield (name, command) of every command, of groups those inside them."""
    group = build()
    context = group.make_context("worldsim", ["list", "models"])
    for name in group.list_commands(context):
        command = group.get_command(context, name).load()
        if hasattr(command, "list_commands"):
            yield from ((f"{name} {sub}", command.get_command(context, sub)) for sub in command.list_commands(context))
        else:
            yield name, command


def holding(options: BenchOptions) -> list[Figure]:
    return [Figure.at_most("error", 0.1, 0.2, unit="m", n=len(options.seeds_or(range(50), range(5))))]


def short(options: BenchOptions) -> list[Figure]:
    return [*holding(options), Figure.at_least("share", 0.9, 0.95, interval=(0.8, 0.97), baselines={"blind": 0.5})]


def test_every_command_of_the_table_can_be_imported_and_has_the_options_that_all_have():
    lacking = {}
    for name, command in commands():
        options = {option for parameter in command.params for option in getattr(parameter, "opts", ())}
        if missing := {"--json", "--seed", "--out"} - options:
            lacking[name] = missing
    assert lacking == {}


def test_every_command_says_in_a_sentence_what_it_does():
    assert [name for name, command in commands() if not (command.help or "").strip()] == []
    assert [name for name, _, summary in COMMANDS if not summary.endswith(".")] == []


def test_help_imports_neither_torch_nor_an_engine_so_that_it_answers_at_once():
    code = (
        "import sys\nfrom worldsim.cli import build\n"
        "build().main(['--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'pybullet', 'scipy', 'matplotlib', 'sqlalchemy', 'mujoco', 'fastapi'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for name, _, _ in COMMANDS:
        assert name in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["transfer", "planar-drop", "--seeds", "0:5"], "transfer-planar-drop does not heed --seeds, which goes with"),
        (["transfer", "recovery", "--stages", "Park"], "transfer-recovery does not heed --stages"),
        (["transfer", "warehouse", "--data", "setup.cfg"], "transfer-warehouse does not heed --data"),
        (["bench", "joints", "--data", "setup.cfg"], "joints does not heed --data, which goes with agents, graph"),
        (["bench", "joints", "--soak-minutes", "5"], "joints does not heed --soak-minutes, which goes with registry"),
        (["bench", "cat", "--scenarios", "Park"], "cat does not heed --scenarios, which goes with agents"),
        (["bench", "scale", "--steps", "20"], "scale does not heed --steps, which goes with soak"),
    ],
)
def test_an_option_that_a_benchmark_does_not_heed_is_refused(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "setup.cfg").write_text("")
    with pytest.raises(ConfigurationError, match=says):
        build().main(arguments, standalone_mode=False)


def test_no_command_needs_torch_to_say_what_it_does():
    code = (
        "import sys\nfrom worldsim.cli import COMMANDS, build\n"
        "group = build()\ncontext = group.make_context('worldsim', ['list', 'models'])\n"
        "for name, _, _ in COMMANDS:\n    group.get_command(context, name).load()\n"
        "print(sorted({'torch', 'pybullet', 'matplotlib', 'scipy', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["run", "train", "graph"])
def test_a_misspelt_scenario_is_told_before_anything_slow_is_imported(command):
    code = (
        "import sys\nfrom worldsim.cli import build\nfrom worldsim.errors import UnknownNameError\n"
        f"try:\n    build().main([{command!r}, 'Warehose'], standalone_mode=False)\n"
        "except UnknownNameError as error:\n    print(error)\n"
        "print(sorted({'torch', 'pybullet', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("unknown scenario 'Warehose'. Did you mean 'Warehouse'?")
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_mistake_is_one_line_that_says_what_to_do_and_exits_with_1():
    done = run("bench", "cet")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("worldsim: error: unknown benchmark 'cet'.")


def test_an_unknown_command_exits_with_2_and_names_the_nearest():
    done = run("lst")
    assert done.returncode == 2
    assert "Did you mean 'list'?" in done.stderr


def test_list_prints_one_json_object_of_the_installed_models(tmp_path):
    done = run("list", "models", "--json", "--out", tmp_path / "models.json")
    printed = json.loads(done.stdout)
    assert done.returncode == 0
    assert {"cat", "rigid_body", "generic"} <= {item["name"] for item in printed["items"]}
    assert printed["count"] == len(printed["items"])
    assert json.loads((tmp_path / "models.json").read_text()) == printed


def test_an_output_that_cannot_be_written_is_an_error_and_not_a_traceback(tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = run("list", "agents", "--out", tmp_path / "file" / "x.json")
    assert done.returncode == 1
    assert "--out: cannot write" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["bench", "tried"], ["transfer", "recovery"]])
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_measured(command, tmp_path, monkeypatch):
    monkeypatch.setitem(BENCHMARKS, "tried", f"{__name__}:nothing_of_that_name")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigurationError, match=r"--out: cannot write into .*folder for figures.json"):
        build().main([*command, "--out", str(tmp_path / "file" / "x")], standalone_mode=False)


def test_a_misspelt_motion_statistic_is_told_and_not_left_out():
    with pytest.raises(UnknownNameError, match=r"unknown motion statistic 'sped_mean'. Did you mean 'speed_mean'"):
        build().main(["registry", "search", "--motion", "sped_mean=1"], standalone_mode=False)


@pytest.mark.parametrize("option", ["run Intercept --seconds", "run Intercept --beliefs", "graph Stacks --seconds"])
def test_an_endless_number_of_seconds_is_refused_and_not_a_traceback(option, tmp_path):
    done = run(*option.split(), "inf", "--out", str(tmp_path / "run"))
    assert done.returncode == 2
    assert "less than or equal to 1000000" in " ".join(done.stderr.replace("│", " ").split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("address", ["builtin", "sqlite:///", "sqlite://", "sqlite:///:memory:"])
@pytest.mark.parametrize("command", [["publish", "folder", "--registry"], ["init"]])
def test_nothing_is_put_into_a_registry_that_is_gone_when_the_command_ends(command, address):
    with pytest.raises(ConfigurationError, match=f"what is stored in '{address}' is gone when the command ends"):
        build().main(["registry", *command, address], standalone_mode=False)


def test_a_search_that_nothing_passes_says_so(capsys):
    build().main(["registry", "search", "--kind", "cta", "--tag", "starter"], standalone_mode=False)
    assert "nothing in builtin passes --kind cta and --tag starter" in capsys.readouterr().err
    build().main(["registry", "search", "--kind", "cat"], standalone_mode=False)
    assert "nothing in" not in capsys.readouterr().err


def test_a_full_disk_is_one_line(tmp_path):
    code = (
        "import errno\nfrom worldsim import cli\n"
        "def full():\n    raise OSError(errno.ENOSPC, 'No space left on device', 'runs/a/report.html')\n"
        "cli.build = lambda: full\ncli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("worldsim: error: cannot write runs/a/report.html: No space left on device.")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("function", "status"), [(holding, 0), (short, 3)])
def test_bench_exits_with_3_when_a_figure_falls_short_and_prints_all_the_same(
    function, status, monkeypatch, capsys, tmp_path
):
    monkeypatch.setitem(BENCHMARKS, "tried", f"{__name__}:{function.__name__}")
    with pytest.raises(SystemExit) as exit_:
        build().main(["bench", "tried", "--json", "--seeds", "3:5", "--out", str(tmp_path)])
    printed = json.loads(capsys.readouterr().out)
    assert exit_.value.code == status
    assert [figure["holds"] for figure in printed["figures"]] == [True, False][: 1 + (status == 3)]
    assert printed["figures"][0]["n"] == 2
    assert set(printed) >= {"bench", "commit", "versions", "machine", "seconds", "figures"}
    assert json.loads((tmp_path / "figures.json").read_text()) == printed


def test_bench_shows_people_a_table_with_the_baselines_beside_the_figures(monkeypatch, capsys):
    monkeypatch.setitem(BENCHMARKS, "tried", f"{__name__}:short")
    with pytest.raises(SystemExit):
        build().main(["bench", "tried", "--quick"])
    shown = capsys.readouterr().out
    for word in ("share", "0.9", "blind", "0.5", "falls short", "smaller version"):
        assert word in shown


def test_figures_are_told_in_lines_where_a_table_would_break_its_words(monkeypatch, capsys):
    monkeypatch.setitem(BENCHMARKS, "tried", f"{__name__}:short")
    narrow = ["share: 0.9 (0.8 .. 0.97), n = 1; >= 0.95: falls short", "    beside it: blind 0.5"]
    for columns, lines in (("80", narrow), ("160", ["1 of 2 promises hold"])):
        monkeypatch.setenv("COLUMNS", columns)
        with pytest.raises(SystemExit):
            build().main(["bench", "tried"])
        shown = capsys.readouterr().out.splitlines()
        assert [line in shown for line in lines] == [columns == "80"] * len(lines)


def test_view_serves_a_run_on_this_machine_alone_until_it_is_told_to_stop(tmp_path):
    with RunFolder(tmp_path / "run", name="demo", config={}, seed=0) as folder:
        folder.write_text("report.html", "<p>the story</p>")
    command = [sys.executable, "-m", "worldsim", "view", str(folder.path), "--no-browser", "--json"]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        pytest.skip("SIGINT is ignored here (a job of the background), and so it is by what is started here")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            shown = json.loads(process.stdout.readline())
            assert shown["url"].startswith("http://127.0.0.1:")
            with urllib.request.urlopen(shown["url"], timeout=10) as page:
                assert page.read() == b"<p>the story</p>"
            process.send_signal(signal.SIGINT)
            process.wait(timeout=10)
        finally:
            process.kill()
    assert process.returncode == 0


@pytest.mark.parametrize("page", ["transfer.html", "accuracy.html"])
def test_view_opens_the_page_of_a_benchmark_too(page, tmp_path, monkeypatch, capsys):
    (tmp_path / page).write_text("<p>figures</p>")
    monkeypatch.setattr(http.server.ThreadingHTTPServer, "serve_forever", lambda self: None)
    build().main(["view", str(tmp_path), "--no-browser", "--json"], standalone_mode=False)
    shown = json.loads(capsys.readouterr().out)
    assert shown["url"].endswith(f"/{page}")
    assert shown["status"] is None


def test_view_of_something_that_is_no_run_says_what_a_run_is(tmp_path):
    done = run("view", tmp_path)
    assert done.returncode == 1
    assert "is not a run folder" in done.stderr


def test_the_command_that_plays_a_policy_plays_it_in_what_it_was_trained_in(tmp_path):
    fields = ("reward=dense", "duration_s=4")
    options = TrainOptions("Billiards", observation="state", scenario_arguments=read_fields("Billiards", fields))
    words = shlex.split(_commands(options, Path("my runs/first")).splitlines()[1])
    assert words[:7] == ["worldsim", "run", "Billiards", "--agent", "ppo", "--policy", "my runs/first"]
    again = [field for option, field in itertools.pairwise(words) if option == "--set"]
    assert read_fields("Billiards", again) == options.scenario_arguments
    assert words[-2:] == ["--observation", "state"]


def test_what_is_not_paid_is_not_trained_on(tmp_path):
    with pytest.raises(ConfigurationError, match=r"asks for nothing as it stands.*--set reward=dense"):
        build().main(["train", "Billiards", "--steps", "64", "--out", str(tmp_path / "run")], standalone_mode=False)


@pytest.mark.parametrize(
    ("options", "says"),
    [(["--resume", "--overwrite"], "give one of the two"), (["--record", "."], "is a folder. Name a file in it")],
)
def test_what_a_training_could_only_fail_at_when_it_is_done_is_told_before_it_begins(options, says, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(ConfigurationError, match=says):
        build().main(["train", "Intercept", "--steps", "1", *options, "--out", str(out)], standalone_mode=False)
    assert not out.exists()


def test_a_caption_can_be_copied_and_an_id_searched_for_where_the_output_is_no_terminal(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    model, folder = "trolley/" + "long-" * 20 + "name", "runs/" + "x" * 100
    print_table("found", ("model", "value"), [(model, "[1]")], caption=f"worldsim view {folder}")
    print_table("nothing found", ("model",), [], caption="ask for another")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "found"
    assert any(model in line for line in lines)
    assert lines[-3:] == [f"worldsim view {folder}", "nothing found", "ask for another"]


def test_a_figure_of_a_single_episode_is_shown_without_an_interval():
    assert _shown({"value": 1.25, "interval": None, "n": 1}) == "1.25"
    assert _shown({"value": 1.25, "interval": (1.0, 2.0)}) == "1.25  (1 .. 2)"


def test_a_run_that_is_terminated_says_that_it_was_interrupted(tmp_path):
    command = [sys.executable, "-m", "worldsim", "run", "Stacks", "--seed", "0", "--out", str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120.0
        while not (tmp_path / "run" / "run.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.terminate()
        assert process.wait(60.0) != 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
