"""Other tools that draw a model, each on the same models, beside the plain forward and beside graphscope.trace.

``peer_rows`` runs each tool in a process of its own, with the Python of an environment of its own: the tools are
installed beside the very torch of this environment, and nothing of theirs comes into it. A cell that takes too long,
raises or ends its process says so. That process runs ``measure_tool``, which prints one JSON line when it has timed the
plain forward of a model and one when it has a result.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import select
import shutil
import statistics
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

import graphscope
from tests.bench.trace_models import CASES

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / "bench-results" / "peers-env"
CELL_SECONDS = 60.0
"""How long one tool may take on one model, with the start of its process, before it is stopped."""
MEASURED_SECONDS = 12.0
"""After this time no further round of a cell is begun."""
MOST_ROUNDS, LEAST_ROUNDS = 15, 3


def _torchlens(model: Any, args: Any) -> Any:
    import torchlens

    return lambda: torchlens.trace(model, list(args))


def _torchvista(model: Any, args: Any) -> Any:
    import torchvista

    return lambda: torchvista.trace_model(model, args if len(args) > 1 else args[0])


def _torchview(model: Any, args: Any) -> Any:
    import torchview

    return lambda: torchview.draw_graph(model, input_data=list(args), device="cpu", mode="train", depth=100)


def _torchviz(model: Any, args: Any) -> Any:
    import torchviz

    return lambda: torchviz.make_dot(model(*args), params=dict(model.named_parameters()))


def _torchinfo(model: Any, args: Any) -> Any:
    import torchinfo

    return lambda: torchinfo.summary(model, input_data=list(args), mode="train", verbose=0)


def _torchexplorer(model: Any, args: Any) -> Any:
    import torchexplorer

    watched = copy.deepcopy(model)  # what it hangs into a model cannot be taken off again
    torchexplorer.watch(watched, log_freq=1, backend="none", verbose=False)

    def step() -> None:
        watched(*args).sum().backward()

    return step


PROCESS = """
import sys, types
sys.modules["tests"] = types.ModuleType("tests")  # another package beside the tools has this name too
sys.modules["tests"].__path__ = [sys.argv[1]]
from tests.bench.peers import TOOLS, measure_tool
measure_tool(next(tool for tool in TOOLS if tool.package == sys.argv[2]), int(sys.argv[3]))
"""


class Tool(NamedTuple):
    """One tool: what is installed, what a call is, and what that call is compared with."""

    package: str
    version: str
    prepare: Callable[[Any, Any], Callable[[], Any]]
    backward: bool = False
    """Whether it needs a backward, and so is compared with forward and backward."""


TOOLS = (
    Tool("torchlens", "2.36.1", _torchlens),
    Tool("torchvista", "0.2.13", _torchvista),
    Tool("torchview", "0.2.7", _torchview),
    Tool("torchviz", "0.0.3", _torchviz),
    Tool("torchexplorer", "1.1.2", _torchexplorer, backward=True),
    Tool("torchinfo", "1.8.0", _torchinfo),
)


# The process of one tool.


def measure_tool(tool: Tool, first: int) -> None:
    """Prints what a tool costs on each model from the ``first`` on."""
    torch.set_num_threads(1)
    out = sys.stdout
    for case in CASES[first:]:
        torch.manual_seed(0)
        model, args = case.make(), case.inputs()

        def plain(model: Any = model, args: Any = args) -> None:
            output = model(*args)
            if tool.backward and output.requires_grad:
                output.sum().backward()

        plain()
        seconds = min(cpu_seconds(plain) for _ in range(3))
        print(json.dumps({"model": case.name, "plain_ms": seconds * 1e3}), file=out, flush=True)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            found = _measured(tool, model, args, plain)
        print(json.dumps({"model": case.name, **found}), file=out, flush=True)


def _measured(tool: Tool, model: Any, args: Any, plain: Callable[[], None]) -> dict[str, Any]:
    try:
        call = tool.prepare(model, args)
        call()  # imports and what is built once
        graphscope.trace(model, *args)
        started, rounds = time.perf_counter(), []
        while len(rounds) < MOST_ROUNDS:
            alone, theirs = cpu_seconds(plain), cpu_seconds(call)
            rounds.append((theirs / alone, cpu_seconds(graphscope.trace, model, *args) / cpu_seconds(model, *args)))
            if time.perf_counter() - started > MEASURED_SECONDS and len(rounds) >= LEAST_ROUNDS:
                break
    except BaseException as error:  # whatever a tool does when it cannot go on is its result
        text = " ".join(str(error).split())
        return {"error": f"{type(error).__name__}: {text}" if text else type(error).__name__}
    theirs_, ours = zip(*rounds, strict=True)
    return {"ratio": statistics.median(theirs_), "graphscope_ratio": statistics.median(ours), "rounds": len(rounds)}


def cpu_seconds(work: Callable[..., Any], *args: Any) -> float:
    """CPU time of this process for one call: what else the machine does is not in it."""
    started = time.process_time()
    work(*args)
    return time.process_time() - started


# The benchmark's side.


def environment() -> Path:
    """The Python of the tools' environment, made where there is none for these versions. Raises OSError."""
    python = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = "\n".join([f"torch {torch.__version__}", *(f"{tool.package}=={tool.version}" for tool in TOOLS)])
    stamp = ENVIRONMENT / "installed.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    venv.create(ENVIRONMENT, with_pip=True)
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    # Behind their own packages the ones of this environment: the same torch, not another copy of it.
    Path(site, "beside.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    packages = [f"{tool.package}=={tool.version}" for tool in TOOLS]
    done = subprocess.run(
        [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages],
        capture_output=True, text=True, env=_clean(), check=False,
    )  # fmt: skip
    if done.returncode:
        raise OSError(f"the tools could not be installed: {done.stderr.strip().splitlines()[-1]}")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def _clean(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more


def peer_rows() -> dict[str, dict[str, dict[str, Any]]]:
    """Tool -> model -> what was found: ``ratio`` (to the plain forward), or ``over``, or ``error``."""
    try:
        python = environment()
    except (OSError, subprocess.CalledProcessError) as error:
        return {tool.package: {case.name: {"error": str(error)} for case in CASES} for tool in TOOLS}
    return {tool.package: dict(_tool_rows(python, tool)) for tool in TOOLS}


def _tool_rows(python: Path, tool: Tool) -> Iterator[tuple[str, dict[str, Any]]]:
    first = 0
    while first < len(CASES):
        ended: dict[str, Any] = {"error": "its process ended"}
        plain = 0.0
        for line in _lines(python, tool, first):
            if line is None:
                ended = {"over": CELL_SECONDS * 1e3 / plain} if plain else {"error": f"over {CELL_SECONDS:.0f} s"}
            elif "plain_ms" in line:
                plain = line["plain_ms"]
            else:
                yield line.pop("model"), line
                first, plain = first + 1, 0.0
        if first < len(CASES):
            yield CASES[first].name, ended
            first += 1


def _lines(python: Path, tool: Tool, first: int) -> Iterator[dict[str, Any] | None]:
    """What the process of a tool prints; None when it had to be stopped."""
    process = subprocess.Popen(
        [python, "-c", PROCESS, str(ROOT / "tests"), tool.package, str(first)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT,
        env=_clean(PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", WANDB_MODE="disabled"),
    )  # fmt: skip
    assert process.stdout is not None
    try:
        until = time.monotonic() + CELL_SECONDS
        pending = b""
        while True:
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                yield None
                return
            got = os.read(process.stdout.fileno(), 65_536)
            if not got:
                return
            *whole, pending = (pending + got).split(b"\n")
            for line in whole:
                until = time.monotonic() + CELL_SECONDS
                yield json.loads(line)
    finally:
        process.kill()
        process.wait()
