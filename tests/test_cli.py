"""The shell commands: what they print, how they fail, and that looking at a run needs no torch."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import graphscope
from graphscope.cli import main
from graphscope.errors import TrainerError
from graphscope.reports.text import summary_text
from graphscope.run import load

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"
RUN = str(GOLDEN / "small_cnn.gscope")

BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "IPython", "matplotlib", "ipywidgets", "anywidget", "pandas"):
            raise AssertionError(f"{name} was imported")
sys.meta_path.insert(0, Blocker())
from graphscope.cli import main
sys.exit(main(sys.argv[1:]))
"""


def shell(*arguments: str, code: str = BLOCKED, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def test_show_prints_the_text_page_without_torch() -> None:
    done = shell("show", RUN, PYTHONUTF8="1")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == summary_text(load(RUN)) and done.stderr == b""


def test_a_terminal_that_knows_only_ascii_gets_question_marks() -> None:
    done = shell("show", RUN, PYTHONUTF8="0", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.returncode == 0 and b"4 ? 8 ? 8 ? 8" in done.stdout


def test_export_writes_without_torch(tmp_path: Path) -> None:
    done = shell("export", RUN, "-o", str(tmp_path / "out.csv"))
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "out.csv").read_text().startswith("step,pass_index,fqn")


def test_json_lines_go_to_a_file_or_the_terminal_without_torch(tmp_path: Path) -> None:
    done = shell("export", RUN, "--jsonl", "-")
    assert done.returncode == 0, done.stderr.decode()
    assert main(["export", RUN, "--jsonl", str(tmp_path / "out.jsonl")]) == 0
    assert done.stdout == (tmp_path / "out.jsonl").read_bytes() and done.stdout.startswith(b'{"kind":"run",')


def test_export_wants_one_form(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["-o", "x.csv", "--jsonl", "-"]):
        with pytest.raises(SystemExit) as left:
            main(["export", RUN, *arguments])
        assert left.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err


@pytest.mark.skipif(not (ROOT / "graphscope" / "static" / "report.js").exists(), reason="the viewer is not built")
def test_report_writes_one_page_without_torch(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = shell("report", RUN, "-o", str(page), "--max-mb", "2", PYTHONUTF8="1")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().startswith(f"wrote {page} (") and page.read_text().startswith("<!")


def test_the_options_of_report_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import graphscope.reports.html

    seen = {}

    def write(run: object, path: str, **options: object) -> Path:
        seen.update(options, run=repr(run))
        (tmp_path / "page.html").write_text("x")
        return tmp_path / "page.html"

    monkeypatch.setattr(graphscope.reports.html, "write_report", write)
    assert main(["report", RUN, "-o", "page.html", "--max-mb", "2.5", "--source-lines"]) == 0
    run = "Run(SmallCnn-1: 6 steps, 5 captured, finished)"
    assert seen == {"max_mb": 2.5, "source_lines": True, "run": run}


def test_python_m_graphscope_is_the_same_command() -> None:
    run = [sys.executable, "-m", "graphscope", "--version"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, f"graphscope {graphscope.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "/nowhere/run"], "graphscope: /nowhere/run: there is no such file or directory."),
        (["show", str(GOLDEN / "small_cnn.json")], "its name does not end in .gscope"),
        (["show", str(GOLDEN / "other_major.gscope")], "it was written by GraphScope 9.0.0"),
        (["show", str(GOLDEN.parent / "graph")], "this directory holds no .gscope file"),
        (["show", "a\nb\0c"], "there is no such file|embedded null"),
        (["export", RUN, "-o", "x.xls"], "no export is called"),
    ],
)
def test_an_error_of_the_user_is_one_line_and_status_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("graphscope: ") and err.count("\n") == 1 and err.endswith("\n")
    assert any(word in err for word in says.split("|"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required"),
        (["shw"], "invalid choice"),
        (["report", RUN, "--max-mb", "0"], "wanted a size in MB above 0"),
        (["export", RUN], "-o"),
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2 and says in capsys.readouterr().err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    out = capsys.readouterr().out
    assert left.value.code == 0 and all(word in out for word in ("show", "report", "export", "train"))


def test_train_is_handed_on_and_its_errors_are_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training = types.ModuleType("graphscope.training_shell")
    seen = []

    def train(arguments: list[str]) -> int:
        seen.append(arguments)
        if "--fail" in arguments:
            raise TrainerError("train(model='x'): no\nsuch network")
        return 7

    training.main = train  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "graphscope.training_shell", training)
    monkeypatch.setattr(graphscope, "training_shell", training, raising=False)
    assert main(["train", "--help", "-x"]) == 7 and seen == [["--help", "-x"]]
    assert main(["train", "--fail"]) == 2
    assert capsys.readouterr().err == "graphscope: --model x: no such network\n"


def test_output_cut_off_by_head_is_no_error() -> None:
    code = f"import sys; from graphscope.cli import main; sys.exit(main(['show', {RUN!r}]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(timeout=60) == 0


def test_importing_graphscope_loads_nothing_heavy_and_names_are_lazy() -> None:
    code = (
        "import sys, graphscope\n"
        "heavy = {'torch', 'numpy', 'IPython', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert set(graphscope.__all__) <= set(dir(graphscope))\n"
        "graphscope.load, graphscope.Run, graphscope.Graph, graphscope.GraphscopeError\n"
        "import graphscope.run.files, graphscope.reports\n"
        "assert callable(graphscope.load) and 'torch' not in sys.modules\n"
        "try:\n    graphscope.nothing\n"
        "except AttributeError as error:\n    assert 'nothing' in str(error)\n"
        "else:\n    raise SystemExit('no error')\n"
    )
    done = shell(code=code)
    assert done.returncode == 0, done.stderr.decode()


def test_no_public_function_is_hidden_by_a_module_of_its_name() -> None:
    package = Path(graphscope.__file__).parent
    modules = {path.stem for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert modules & set(graphscope.__all__) <= {"plot"}, "plot is a module itself"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_behind_the_output_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", BLOCKED, "show", RUN],
            stdout=full, stderr=subprocess.PIPE, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == b"graphscope: show: the output cannot be written (No space left on device).\n"
