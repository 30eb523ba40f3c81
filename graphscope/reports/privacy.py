"""Records -> the same without what says where and by whom they were made: directories, hosts, users.

A report is meant to be sent to others. What stays are names of modules and ops, numbers, messages, and of source files
their base names; whole paths only on request.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from graphscope.schema import Finding, GraphRecord, Note, PassRecord, RunEnd, RunRecord

_TEXTS = (
    "module_fqn", "module_type", "module_attrs", "param_name", "call_opaque", "value_name", "value_dtype",
    "value_device", "op_name", "op_grad_fn", "op_opaque", "op_attrs",
)  # fmt: skip
"""Columns of a GraphRecord that are texts, but for ``op_file``."""
_RUN_FILE = re.compile(r"rank-\d+\.\S*?\.gscope")
_PATH = re.compile(r"(?<![\w/\\:])(?:[A-Za-z]:|~[\w.-]*)?(?:[/\\]+[^/\\\s'\"<>|:,;()]+){2,}[/\\]?")


def without_places(record: RunRecord, *, paths: bool = False) -> RunRecord:
    """One record without directories; with ``paths``, those of source files stay."""
    match record:
        case GraphRecord():
            graph = record if paths else _with_base_names(record)
            return replace(graph, partial=without_paths(record.partial))
        case PassRecord() if record.error:
            return replace(record, error=without_paths(record.error))
        case Finding():
            file = record.file if paths else base_name(record.file)
            return replace(record, file=file, message=without_paths(record.message))
        case Note():
            return replace(record, text=without_paths(record.text))
        case RunEnd():
            return replace(record, reason=without_paths(record.reason))
    return record


def _with_base_names(record: GraphRecord) -> GraphRecord:
    """The same with base names of its source files; a text that is some other name too stays for that one."""
    strings = list(record.strings)
    files = np.asarray(record.op_file).copy()
    others = {int(n) for column in _TEXTS for n in np.unique(np.asarray(getattr(record, column)))}
    for number in np.unique(files).tolist():
        if number >= len(strings) or (name := base_name(strings[number])) == strings[number]:
            continue
        if number in others:
            files[files == number] = len(strings)
            strings.append(name)
        else:
            strings[number] = name
    return replace(record, strings=strings, op_file=files)


def base_name(path: str) -> str:
    """``/home/ada/net.py`` -> ``net.py``, of both kinds of slashes."""
    return re.split(r"[/\\]", path)[-1]


def without_paths(text: str) -> str:
    """A message whose paths are cut down to their last part; a run file's name holds the host, so it goes too."""
    text = _RUN_FILE.sub("a run file", text)
    return _PATH.sub(lambda match: re.split(r"[/\\]+", match[0].rstrip("/\\"))[-1], text)
