"""A run directory or file -> Run: its files merged by rank, with what is missing or damaged counted and said."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from graphscope.errors import RunFileError
from graphscope.run.frames import HEAD, TAIL
from graphscope.run.places import Place, RunFile
from graphscope.run.reader import NAME, RunReader
from graphscope.run.run import Run
from graphscope.run.words import listed
from graphscope.schema import Note, RunHeader

MAX_FILES = 4_096
"""Files of one directory that are opened."""
MAX_RUN_BYTES = 32 << 30
"""Bytes of all files together that are looked through."""


def load(path: str | os.PathLike[str]) -> Run:
    """A run directory (all its files) or one ``.gscope`` file -> Run; needs no torch.

    Damaged records are left out and counted in ``run.damaged``; a file that was never closed is ``not run.finished``.
    Raises RunFileError where the path is no run, or of another major version.
    """
    asked = f"graphscope.load({path!r:.200})"
    if not isinstance(path, str | os.PathLike):
        raise RunFileError(
            f"{asked}: a {type(path).__name__} is no path. Wanted: a run directory or a .gscope file, such as "
            "session.run_dir or 'runs/MyModel-1'."
        )
    try:
        given = Path(path)
        if not os.path.lexists(given):
            raise RunFileError(f"{asked}: there is no such file or directory.")
        files = _files_in(given, asked) if given.is_dir() else [given]
    except (OSError, ValueError) as error:
        raise RunFileError(f"{asked}: {error}. Wanted: a run directory or a .gscope file.") from None
    words: list[str] = []
    chosen = _of_newest_run(files, words)
    run, room = _run_of([file for file, _ in chosen], words)
    run._load_rank = lambda rank: _run_of([file for file, of in chosen if of == rank], [])[0]
    if not any(True for _ in run.records(())):
        places = f"{run.damaged:,} damaged place{'s' if run.damaged != 1 else ''}"
        why = f"; there are {places}" if run.damaged > 1 else f"; there is {places}" if run.damaged else ""
        raise RunFileError(
            f"{asked}: no GraphScope record can be read there{why if room < MAX_RUN_BYTES else ': it is empty'}. "
            "Wanted: a run directory or a .gscope file that GraphScope wrote."
        )
    for text in (*words, *_losses(run)):
        run.add(Note(severity="warning", text=text))
    return run


def _run_of(files: Sequence[Path], words: list[str]) -> tuple[Run, int]:
    """Files, lowest rank first -> their run, and how many of MAX_RUN_BYTES are left."""
    run, room = Run(), MAX_RUN_BYTES
    for file in files:
        with RunReader(file) as reader:
            room -= _add_all(run, reader, room, words)
    return run, room


def _files_in(directory: Path, asked: str) -> list[Path]:
    """The run files of a directory in the order of their names; links and everything else are passed over."""
    files: list[Path] = []
    inside: list[str] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and NAME.fullmatch(entry.name):
                files.append(directory / entry.name)
                if len(files) > MAX_FILES:
                    raise RunFileError(f"{asked}: more than {MAX_FILES:,} run files. Load a single one of them.")
            elif len(inside) < 1_000 and entry.is_dir(follow_symlinks=False):
                inside.append(entry.name)
    if files:
        return sorted(files)
    runs = sorted(name for name in inside if any((directory / name).glob("*.gscope")))
    hint = f"Runs inside it: {listed(runs)}." if runs else "Wanted: the directory that a session wrote (its run_dir)."
    raise RunFileError(f"{asked}: this directory holds no .gscope file. {hint}")


def _of_newest_run(files: Sequence[Path], words: list[str]) -> list[tuple[Path, int | None]]:
    """The files of one run with their ranks, lowest first; of several runs in a directory, the newest's."""
    headers: dict[Path, RunHeader | None] = {}
    for file in files:
        with RunReader(file) as reader:
            headers[file] = reader.peek()
    newest = max((header for header in headers.values() if header), key=lambda header: header.created, default=None)
    if newest is None:
        return [(file, None) for file in files]
    runs = {header.run_id for header in headers.values() if header}
    chosen = [
        file
        for file, header in headers.items()
        if (len(runs) == 1 if header is None else header.run_id == newest.run_id)
    ]
    others = [file.name for file in files if file not in chosen]
    if others:
        words.append(
            f"This directory holds {len(runs)} runs; this is the newest, {newest.name}. "
            f"Load a single file for another one: {listed(others)}."
        )
    order = {file: (header.rank, header.created) if header else (1 << 62, "") for file, header in headers.items()}
    ranked = [(file, header.rank if (header := headers[file]) else None) for file in chosen]
    return sorted(ranked, key=lambda one: order[one[0]])


def _add_all(run: Run, reader: RunReader, room: int, words: list[str]) -> int:
    """Reads a whole file into the run -> the bytes read."""
    run.begin_file()
    file = RunFile(reader.path)
    for payload, at in reader.payloads(final=True):
        place = Place(file, at, HEAD + len(payload) + TAIL)
        record = reader.skim(payload) or reader.decoded(payload, at)
        if record is None:
            continue
        try:
            run.add(record, place)
        except RunFileError:
            reader.damaged += 1
        if reader.position > room:
            words.append(f"{reader.path.name} was read only up to byte {reader.position:,}: the run is too large.")
            break
    run.damaged += reader.damaged
    run.unknown.update(reader.unknown)
    if reader.end is None:
        run.unfinished_bytes += reader.tail
    if reader.given_up:
        words.append(f"{reader.path.name} was given up at byte {reader.position:,}: nothing readable for too long.")
    return reader.position + reader.tail


def _losses(run: Run) -> Iterator[str]:
    if run.damaged:
        yield f"{run.damaged:,} damaged record{'s were' if run.damaged > 1 else ' was'} left out."
    if run.unfinished_bytes:
        yield f"The last record is cut off ({run.unfinished_bytes:,} bytes): the process ended while it was written."
    if run.unknown:
        writer = run.header.graphscope if run.header else ""
        yield (
            f"Written by a newer GraphScope{' ' + writer if writer else ''}: {sum(run.unknown.values()):,} records or "
            f"fields of unknown kinds were left out ({listed(sorted(run.unknown))})."
        )
