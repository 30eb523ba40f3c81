"""The shell commands ``graphscope show | report | export | train``; only ``train`` needs torch."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import graphscope
from graphscope.errors import GraphscopeError
from graphscope.shell_words import in_shell_words, megabytes

USER_ERROR = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Arguments (without the program's name) -> exit status: 0, or 2 after one line that says what was wrong."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that lacks a sign shows a question mark
    try:
        if arguments[:1] == ["train"]:
            from graphscope import training_shell  # imports torch

            return training_shell.main(arguments[1:])
        parsed = _parser().parse_args(arguments)
        try:
            return int(parsed.command(parsed))
        except BrokenPipeError:
            raise
        except OSError as error:  # files are written with words of their own: this is the standard output
            _drop_output()
            raise GraphscopeError(
                f"{arguments[0]}: the output cannot be written ({error.strerror or error})."
            ) from None
    except GraphscopeError as error:
        print(f"graphscope: {in_shell_words(' '.join(str(error).split()))}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, for instance head, has seen enough
        _drop_output()
        return 0


def _drop_output() -> None:
    """What waits for the standard output goes nowhere, so that the end of the program does not try it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="graphscope", description="The DevTools of PyTorch training: look at recorded runs, or train one."
    )
    parser.add_argument("--version", action="version", version=f"graphscope {graphscope.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    show = commands.add_parser("show", help="print a run as text")
    show.add_argument("run", help="run directory or .gscope file")
    show.set_defaults(command=_show)

    report = commands.add_parser("report", help="write a run as one self-contained HTML page")
    report.add_argument("run", help="run directory or .gscope file")
    report.add_argument("-o", "--output", default="report.html", metavar="FILE", help="default: %(default)s")
    report.add_argument(
        "--max-mb", type=megabytes, default=5.0, metavar="N", help="largest page, default %(default)g MB"
    )
    report.add_argument(
        "--source-lines",
        action="store_true",
        help="put whole paths of the model's code into the page; without it, file names and line numbers",
    )
    report.set_defaults(command=_report)

    export = commands.add_parser("export", help="write a run in a form that other programs read")
    export.add_argument("run", help="run directory or .gscope file")
    form = export.add_mutually_exclusive_group(required=True)
    form.add_argument(
        "-o", "--output", metavar="FILE",
        help="its ending says what is written: the statistics (.csv) or the graph (.json, .dot, .svg)",
    )  # fmt: skip
    form.add_argument("--jsonl", metavar="FILE", help="everything as JSON lines, one object a row; - is the terminal")
    form.add_argument(
        "--tensorboard", metavar="DIR", help="scalars, histograms and graph as event files (needs tensorboard)"
    )
    export.set_defaults(command=_export)

    # Only named here, so that help lists it: its arguments are those of graphscope.training_shell.
    commands.add_parser("train", help="train a network on a data set, watched (see train --help)", add_help=False)
    return parser


def _show(arguments: argparse.Namespace) -> int:
    from graphscope.reports.text import summary_text
    from graphscope.run import load

    print(summary_text(load(arguments.run)), end="", flush=True)
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from graphscope.reports.html import write_report
    from graphscope.run import load

    run = load(arguments.run)
    path = write_report(run, arguments.output, max_mb=arguments.max_mb, source_lines=arguments.source_lines)
    if path.is_file():
        print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB): open it in any browser", flush=True)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from graphscope.reports.export import export
    from graphscope.reports.export_jsonl import export_jsonl
    from graphscope.reports.export_tensorboard import export_tensorboard
    from graphscope.run import load

    run = load(arguments.run)
    if arguments.jsonl == "-":
        export_jsonl(run, "-")
        return 0
    if arguments.jsonl:
        written = export_jsonl(run, arguments.jsonl)
    elif arguments.tensorboard:
        written = str(export_tensorboard(run, arguments.tensorboard))
    else:
        written = str(export(run, Path(arguments.output)))
    print(f"wrote {written}", flush=True)
    return 0
