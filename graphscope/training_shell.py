"""``graphscope train ...`` -> a trained network, a run and perhaps a report, with a progress bar and a summary."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from dataclasses import MISSING, fields
from pathlib import Path
from types import FrameType
from typing import Any

from graphscope.errors import TrainerError
from graphscope.reports import report
from graphscope.run import Run
from graphscope.session import Session, watch
from graphscope.trainer.loop import Trainer
from graphscope.trainer.results import BatchResult, EvaluationResult
from graphscope.trainer.settings import DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, Choice, TrainerSettings
from graphscope.training import images_in_words, log_result, parameters_in_words

MENUS: dict[str, tuple[Choice, ...]] = {
    "data": DATASETS, "model": MODELS, "optimizer": OPTIMIZERS, "schedule": SCHEDULES, "loss": LOSSES,
}  # fmt: skip
SETTLED = 100
"""The first steps are captured whatever they cost; from here on the budget holds."""
NUMBERS = {"int": int, "float": float, "int | None": int, "float | None": float}


def main(argv: list[str]) -> int:
    """Arguments -> 0, 1 for a loss that is not finite, 130 after Ctrl-C. Raises GraphscopeError for unusable ones."""
    options = vars(parser().parse_args(argv))
    own = {name: options.pop(name) for name in ("run_dir", "report", "every", "budget", "no_watch", "resume")}
    settings = TrainerSettings(**options).checked()
    trainer = Trainer(settings)
    if own["resume"]:
        trainer.load(own["resume"])
    print(f"{settings.data}: {images_in_words(trainer)}")
    print(f"{settings.model}: {parameters_in_words(trainer)}")
    if own["no_watch"]:
        stopped, evaluation = _train(trainer, None)
        print(f"test accuracy {_accuracy(evaluation)}")
    else:
        every = own["every"] if own["every"] == "auto" else int(own["every"])
        with watch(
            trainer.model, trainer.optimizer, every=every, budget=own["budget"], run_dir=own["run_dir"]
        ) as session:
            session.step = trainer.step
            stopped, evaluation = _train(trainer, session)
        summarise(session.run, evaluation, session.run_dir, own["report"])
    if stopped:
        print(f"stopped early: {stopped}", file=sys.stderr)
    if stopped == "interrupted":
        _say_how_to_resume(trainer)
        return 130
    return 1 if stopped and "loss is" in stopped else 0


def parser() -> argparse.ArgumentParser:
    """Options made from the fields of TrainerSettings, so that each setting is there under its own name."""
    made = argparse.ArgumentParser(
        prog="graphscope train", description="Train a network on a data set, watched.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    for field in fields(TrainerSettings):
        flag, default = f"--{field.name.replace('_', '-')}", None if field.default is MISSING else field.default
        if isinstance(default, bool):
            made.add_argument(flag, action=argparse.BooleanOptionalAction, default=default)
            continue
        menu = MENUS.get(field.name)
        words = "; ".join(f"{choice.name}: {choice.description}" for choice in menu) if menu else field.name
        kind: Any = NUMBERS.get(str(field.type), str)
        made.add_argument(flag, type=kind, default=default, metavar=field.name.upper(), help=words.replace("%", "%%"))
    made.add_argument("--run-dir", metavar="DIR", help="where the run is recorded; default a new folder in runs/")
    made.add_argument("--report", metavar="FILE", help="also write the run as one HTML page")
    made.add_argument("--every", default="auto", type=_every, help="capture every N-th step, or auto")
    made.add_argument("--budget", default=0.01, type=float, help="share of step time that watching may take")
    made.add_argument("--no-watch", action="store_true", help="train without recording anything")
    made.add_argument("--resume", metavar="DIR", help="go on from a checkpoint, or from the newest in a folder")
    return made


def _every(text: str) -> str:
    if text != "auto" and not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f'wanted "auto" or a number of steps from 1 up, found {text!r}')
    return text


def _train(trainer: Trainer, session: Session | None) -> tuple[str | None, EvaluationResult | None]:
    """Runs the loop with a bar per epoch -> (why it stopped early, the last evaluation)."""
    tqdm = _tqdm()
    interrupted = _Interrupt()
    evaluation: EvaluationResult | None = None
    bar: Any = None
    if session is not None:
        session.log(epoch=trainer.epoch + 1)
    with interrupted:
        for result in trainer.batches():
            if session is not None:
                log_result(session, result)
            if isinstance(result, EvaluationResult):
                evaluation = result
                bar.close()
                bar = None
                print(f"  test loss {result.loss:.4f}, accuracy {_accuracy(result)}")
            else:
                if bar is None:
                    bar = tqdm(total=trainer.steps_per_epoch, desc=_epoch(trainer), unit=" steps", leave=True)
                _show(bar, result)
            if interrupted.asked:
                trainer.stopped = "interrupted"
                break
    if bar is not None:
        bar.close()
    return trainer.stopped, evaluation


def _tqdm() -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise TrainerError(
            "graphscope train: the package tqdm is missing. Install the trainer's extras: pip install "
            "'torch-graphscope[train]'."
        ) from None
    return tqdm


def _epoch(trainer: Trainer) -> str:
    return f"epoch {trainer.epoch + 1}/{trainer.settings.epochs}"


def _show(bar: Any, result: BatchResult) -> None:
    rate = result.images / result.seconds if result.seconds > 0 else math.nan
    accuracy = "" if result.accuracy is None else f", accuracy {100 * result.accuracy:.0f} %"
    bar.set_postfix_str(f"loss {result.loss:.4f}{accuracy}, {rate:,.0f} images/s", refresh=False)
    bar.update(1)


def _accuracy(evaluation: EvaluationResult | None) -> str:
    if evaluation is None or evaluation.accuracy is None:
        return "not measured"
    return f"{100 * evaluation.accuracy:.2f} %"


class _Interrupt:
    """The first Ctrl-C lets the batch under way end; the second stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> _Interrupt:
        try:
            self._before = signal.signal(signal.SIGINT, self._note)
        except ValueError:  # not in the main thread: then Ctrl-C does not come here
            self._before = None
        return self

    def __exit__(self, *error: Any) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("\nfinishing this batch; press Ctrl-C again to stop at once", file=sys.stderr)


def _say_how_to_resume(trainer: Trainer) -> None:
    folder = trainer.settings.checkpoint_dir
    if folder is None:
        print("nothing was saved: give --checkpoint-dir DIR to be able to go on", file=sys.stderr)
        return
    path = trainer.save(folder)
    print(f"saved to {path}; go on with the same command and --resume {folder}", file=sys.stderr)


def summarise(run: Run, evaluation: EvaluationResult | None, run_dir: Path, report_file: str | None) -> None:
    """What was trained and seen, in a few lines, and how to look at it."""
    graph = run.graph
    lines = [""]
    if graph is not None:
        lines.append(
            f"  {graph.modules[0].type}: {len(graph.modules)} modules, {len(graph.nodes)} ops, "
            f"{graph.parameter_count:,} parameters"
        )
    lines.append(f"  test accuracy {_accuracy(evaluation)}")
    lines.append(f"  {overhead_in_words(run)}")
    findings = run.findings
    lines.append(f"  findings: {len(findings) if findings else 'none'}")
    lines += [f"    {f.severity}: {f.title}{f' in {f.fqn}' if f.fqn else ''}" for f in findings]
    print("\n".join(lines))
    if report_file:
        started = time.perf_counter()
        path = Path(report(run, report_file))
        size = path.stat().st_size / 1e6
        print(f"\n  report  {path}  ({size:.1f} MB, {time.perf_counter() - started:.1f} s): open it in any browser")
    else:
        print(f"\n  report  graphscope report {run_dir} -o report.html")
    print(f"  run     {run_dir}: graphscope show {run_dir}, or in a notebook %graphscope {str(run_dir)!r}")


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
