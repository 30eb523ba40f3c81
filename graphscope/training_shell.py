"""``graphscope train ...`` -> a trained network, a run and perhaps a report, with a progress bar and a summary."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from graphscope.errors import GraphscopeError, TrainerError
from graphscope.reports import report
from graphscope.reports.html import check_report
from graphscope.run import Run, load
from graphscope.session import Session, default_run_dir
from graphscope.shell_words import in_shell_words
from graphscope.trainer.checkpoint import settings_of
from graphscope.trainer.distributed import joined
from graphscope.trainer.export import export
from graphscope.trainer.loop import INTERRUPTED, Trainer
from graphscope.trainer.progress import Progress, in_percent
from graphscope.trainer.quantize import compare_quantized
from graphscope.trainer.results import EvaluationResult
from graphscope.trainer.settings import MODELS, PANEL_FIELDS, TrainerSettings
from graphscope.trainer_watch import images_in_words, log_result, parameters_in_words, watched
from graphscope.training_options import ShellOptions, parsed

SETTLED = 100
"""The first steps are captured whatever they cost; from here on the budget holds."""
SAME_CTRL_C = 0.5
"""Seconds."""
RESUMED = (*PANEL_FIELDS, "amp", "compile")
"""Settings taken over from a checkpoint: numbers and names, never a path or code to import."""
TRAINED, NOT_FINITE, CTRL_C = 0, 1, 130


def main(argv: list[str]) -> int:
    """Arguments -> 0, 1 for a loss that is not finite, 130 after Ctrl-C. Raises GraphscopeError for unusable ones."""
    options = parsed(argv)
    settings = settings_for(options)
    if options.report:
        check_report(options.report)  # not only after hours of training
    with _warnings_in_one_line(), joined(settings.device) as ranks:
        trainer = Trainer(settings)
        if options.resume:
            trainer.load(options.resume)
        say = print if ranks.rank == 0 else _say_nothing
        say(f"{trainer.settings.data}: {images_in_words(trainer)}")
        say(f"{trainer.settings.model}: {parameters_in_words(trainer)}")
        if ranks.several:
            say(f"{ranks.world_size} processes, each with its share of every epoch")
            options = replace(options, run_dir=_common_run_dir(trainer, options))
        if options.resume:
            say(f"resumed at step {trainer.step:,}, epoch {trainer.epoch + 1}")
        with _session_for(trainer, options) as session:
            evaluation = _train(trainer, session)
        ranks.wait(trainer.device)  # every file is closed
    if ranks.rank != 0:
        return _status(trainer)
    run = None if session is None else load(session.run_dir) if ranks.several else session.run
    if run is None:
        print(f"test accuracy {in_percent(evaluation.accuracy if evaluation else None)}")
    else:
        print(summary(run, evaluation))
    return _ended(trainer, session, run, options)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Without the place in the code, which tells a person at a shell nothing."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *place, **more: f"warning: {in_shell_words(str(message))}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def settings_for(options: ShellOptions) -> TrainerSettings:
    """What was given, over what the checkpoint to resume from was made with, over the defaults.

    Raises: UnknownName or TrainerError for settings or a checkpoint that cannot be used.
    """
    if options.resume is None:
        return TrainerSettings.from_dict(options.settings)
    folder = Path(options.resume)
    saved = {name: value for name, value in settings_of(folder).to_dict().items() if name in RESUMED}
    if saved["model"] not in [choice.name for choice in MODELS] and "model" not in options.settings:
        raise TrainerError(
            f"--resume {folder}: it was saved with the network {saved['model']}. Give --model yourself: no code is "
            "imported because a file says so."
        )
    own_folder = folder.parent if folder.name.startswith("step-") else folder
    return TrainerSettings.from_dict({"checkpoint_dir": str(own_folder), **saved, **options.settings})


def _say_nothing(text: str) -> None:
    """What a process says that is not the first."""


def _common_run_dir(trainer: Trainer, options: ShellOptions) -> str | None:
    """The directory into which every process writes its file."""
    if options.no_watch or options.run_dir is not None:
        return options.run_dir
    usual = default_run_dir(f"{type(trainer.model).__name__}-1")
    return trainer.ranks.text_from_first(str(usual), trainer.device)


@contextmanager
def _session_for(trainer: Trainer, options: ShellOptions) -> Iterator[Session | None]:
    """The watch of a training; None where it is not to be watched. A resumed training continues its run."""
    if options.no_watch:
        yield None
        return
    with _same_run(options.run_dir) if options.resume else nullcontext():
        session = watched(
            trainer, run_dir=options.run_dir, every=options.every, budget=options.budget, max_mb=options.max_mb
        )
    with session:
        yield session


@contextmanager
def _same_run(run_dir: str | None) -> Iterator[None]:
    """Sessions begun in here continue the run in ``run_dir``, if there is one."""
    header = None
    if run_dir is not None:
        try:
            header = load(run_dir).header
        except GraphscopeError:
            header = None  # no run yet, or none that can be read: then this begins one
    if header is None:
        yield
        return
    before = os.environ.get("GRAPHSCOPE_RUN_ID")
    os.environ["GRAPHSCOPE_RUN_ID"] = header.run_id
    try:
        yield
    finally:
        if before is None:
            del os.environ["GRAPHSCOPE_RUN_ID"]
        else:
            os.environ["GRAPHSCOPE_RUN_ID"] = before


def _train(trainer: Trainer, session: Session | None) -> EvaluationResult | None:
    """Runs the loop with its bars -> the last evaluation."""
    evaluation: EvaluationResult | None = None
    progress = Progress(trainer) if trainer.ranks.rank == 0 else None
    try:
        with _Interrupt(trainer):
            for result in trainer.batches():
                if session is not None:
                    log_result(session, result)
                if isinstance(result, EvaluationResult):
                    evaluation = result
                if progress is not None:
                    progress.show(result)
    finally:
        if progress is not None:
            progress.close()
    return evaluation


class _Interrupt:
    """The first Ctrl-C lets the batch under way end; the second stops at once.

    A launcher passes on what the terminal has sent to each process already: what follows at once is the same Ctrl-C.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._asked: float | None = None
        self._before: Any = None

    def __enter__(self) -> None:
        try:
            self._before = signal.signal(signal.SIGINT, self._note)
        except ValueError:  # not in the main thread: then Ctrl-C does not come here
            self._before = None

    def __exit__(self, *error: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked is not None:
            if now - self._asked > SAME_CTRL_C:
                raise KeyboardInterrupt
            return
        self._asked = now
        self._trainer.interrupt()
        if self._trainer.ranks.rank == 0:
            print("\nfinishing this batch; press Ctrl-C again to stop at once", file=sys.stderr)


def _status(trainer: Trainer) -> int:
    if trainer.stopped == INTERRUPTED:
        return CTRL_C
    return NOT_FINITE if trainer.stopped and "loss is" in trainer.stopped else TRAINED


def _ended(trainer: Trainer, session: Session | None, run: Run | None, options: ShellOptions) -> int:
    """What comes after a training: its files, or how to go on -> exit status."""
    status = _status(trainer)
    if trainer.stopped:
        print(f"stopped early: {trainer.stopped}", file=sys.stderr)
    if session is not None and run is not None:
        print(written(run, session.run_dir, options.report))
    if status == CTRL_C:
        _save_and_say_how_to_resume(trainer, session)
    elif status == TRAINED:
        if options.export:
            path = export(trainer, options.export)
            print(f"  export  {path}  ({path.stat().st_size / 1e6:.1f} MB): torch.export.load({str(path)!r}).module()")
        if options.quantize:
            print(f"\n{compare_quantized(trainer)}")
    return status


def _save_and_say_how_to_resume(trainer: Trainer, session: Session | None) -> None:
    folder: Path | None = None
    if trainer.settings.checkpoint_dir is not None:
        folder = Path(trainer.settings.checkpoint_dir)
    elif session is not None:
        folder = session.run_dir / "checkpoints"
    if folder is None:
        print("nothing was saved: give --checkpoint-dir DIR to be able to go on", file=sys.stderr)
        return
    try:
        path = trainer.save(folder)
    except OSError as error:
        print(f"nothing was saved: {folder} cannot be written ({error.strerror or error})", file=sys.stderr)
        return
    words = ["graphscope", "train", "--resume", str(folder)]
    words += ["--run-dir", str(session.run_dir)] if session is not None else ["--no-watch"]
    settings = trainer.settings
    words += ["--data-dir", settings.data_dir] if settings.data_dir is not None else []
    words += ["--model", settings.model] if ":" in settings.model else []
    print(f"saved {path}; go on with\n  {shlex.join(words)}", file=sys.stderr)


def written(run: Run, run_dir: Path, report_file: str | None) -> str:
    """Writes the report if one was asked for -> where everything is and how to look at it."""
    if report_file:
        started = time.perf_counter()
        path = Path(report(run, report_file))
        size, seconds = path.stat().st_size / 1e6, time.perf_counter() - started
        line = f"  report  {path}  ({size:.1f} MB, {seconds:.1f} s): open it in any browser"
    else:
        line = f"  report  graphscope report {run_dir} -o report.html"
    return f"\n{line}\n  run     {run_dir}: graphscope show {run_dir}, or in a notebook %graphscope {str(run_dir)!r}"


def summary(run: Run, evaluation: EvaluationResult | None) -> str:
    """What was trained and seen, in a few lines."""
    graph = run.graph
    lines = [""]
    if graph is not None:
        lines.append(
            f"  {graph.modules[0].type}: {len(graph.modules)} modules, {len(graph.nodes)} ops, "
            f"{graph.parameter_count:,} parameters"
        )
    lines.append(f"  test accuracy {in_percent(evaluation.accuracy if evaluation else None)}")
    lines.append(f"  {overhead_in_words(run)}")
    findings = run.findings
    lines.append(f"  findings: {len(findings) if findings else 'none'}")
    lines += [f"    {f.severity}: {f.title}{f' in {f.fqn}' if f.fqn else ''}" for f in findings]
    return "\n".join(lines)


def overhead_in_words(run: Run) -> str:
    """What watching took, of all steps and since the first ones, from the run's own clock."""
    records = run.step_records
    captured = sum(record.captured for record in records)
    share = "an unknown share" if run.overhead is None else f"{100 * run.overhead:.1f} %"
    text = f"watching took {share} of step time ({captured} of {len(records)} steps captured"
    later = [r for r in records if r.step > SETTLED and r.step_seconds is not None]
    plain = sum((r.step_seconds or 0.0) - r.self_seconds for r in later)
    if len(later) < 5 or plain <= 0:
        return f"{text})"
    return f"{text}; {100 * sum(r.self_seconds for r in later) / plain:.1f} % after step {SETTLED})"
