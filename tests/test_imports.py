"""Who may import whom: the path of the design, held for Python and TypeScript, and what `import graphscope` may load.

A new package, area or arrow fails here until it is written into a table below, which is the moment to ask whether
it should exist.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "graphscope"
SCRIPTS = ROOT / "js" / "src"

# Area -> areas of ours and packages that it may import beside itself and the standard library. "graphscope" is the
# package itself, with its version and its public names.
PYTHON = {
    "errors": "",
    "schema": "",
    "messages": "schema",
    "graph": "schema errors numpy",
    "run": "schema errors graph messages numpy safetensors google_crc32c",
    "capture": "schema errors graph numpy torch triton",
    "rules": "schema errors graph run numpy",
    "recorder": "schema errors graph messages run capture rules numpy torch",
    "checking": "schema errors graph run capture rules torch",
    "session": "schema errors graph messages run capture rules recorder checking graphscope numpy torch",
    "trainer": "errors numpy torch safetensors sklearn pooch requests tqdm",
    "trainer_watch": "errors session trainer",
    "conditions": "schema errors run",
    "training_layers": "errors capture torch",
    "training_samples": "messages trainer numpy",
    "training_thread": "errors messages session trainer trainer_watch training_layers training_samples conditions",
    "training_controls": "errors trainer training_layers training_thread",
    "training": "schema errors messages trainer trainer_watch training_thread training_controls conditions",
    "training_options": "schema trainer shell_words",
    "shell_words": "trainer",
    "training_shell": "schema errors graph messages run session trainer trainer_watch training_options shell_words"
    " reports",
    "reports": "schema errors graph messages run numpy graphviz",
    "plot": "schema errors graph run numpy matplotlib",
    "jupyter": "schema errors graph messages run capture rules recorder checking session trainer training reports plot"
    " cli graphscope numpy torch IPython ipywidgets anywidget traitlets comm ipykernel",
    "cli": "schema errors graph messages run capture rules recorder checking session trainer training reports plot"
    " trainer_watch training_options training_shell shell_words graphscope numpy torch tqdm",
    "__init__": "schema errors graph messages run capture rules checking session trainer training reports plot jupyter",
    "__main__": "cli",
}
# The lazy imports against the arrows: how a Graph, a Run and a Session show themselves, and what they turn into.
# (area, function, what it may import there; the same name may then be imported for type checking)
DOORS = {
    ("graph", "to_svg", "reports"),
    ("graph", "to_graphviz", "graphviz"),
    ("graph", "to_networkx", "networkx"),
    ("graph", "_repr_mimebundle_", "jupyter"),
    ("run", "dataframe_of", "pandas"),
    ("run", "_repr_mimebundle_", "jupyter"),
    ("reports", "message_classes", "tensorboard"),
    ("session", "widget", "jupyter"),
    ("session", "_repr_mimebundle_", "jupyter"),
    ("training", "widget", "jupyter"),
    ("training", "_repr_mimebundle_", "jupyter"),
}
# Reading a file with one of these runs what the file says.
UNSAFE = {"pickle", "marshal", "shelve", "dbm"}

# Folder of js/src -> folders of ours and packages it may import; "type:x" allows `import type` only.
TYPESCRIPT = {
    "schema": "",
    "base": "type:schema preact",
    "run": "base schema",
    "layout": "base type:run type:schema @dagrejs/dagre",
    "sources": "base run schema type:@anywidget/types",
    "store": "base run layout schema type:sources preact @preact/signals",
    "panels": "base run store schema preact @preact/signals",
    "views": "base run layout store panels schema type:sources preact @preact/signals",
    "lab": "base run layout store panels views sources schema preact @preact/signals @jupyterlab/* @lumino/*",
    "entry": "base run layout store panels views sources lab schema preact @preact/signals @jupyterlab/* @lumino/*"
    " type:@anywidget/types",
}

LIGHT_MODULES = (
    "graphscope",
    "graphscope.errors",
    "graphscope.schema",
    "graphscope.messages",
    "graphscope.graph",
    "graphscope.run",
    "graphscope.rules",
    "graphscope.reports",
    "graphscope.cli",
)
HEAVY_PACKAGES = (
    "torch",
    "triton",
    "IPython",
    "matplotlib",
    "ipywidgets",
    "anywidget",
    "sklearn",
    "pandas",
    "networkx",
    "graphviz",
    "tensorboard",
)


class Import(NamedTuple):
    """One import: what is imported, in which function ("" at module level), and whether for types only."""

    target: str
    function: str
    types_only: bool
    line: int


def python_imports(source: str, package: str) -> Iterator[Import]:
    """Source of a module in `package` ("graphscope.run") -> its imports; ours as an area, others as a package."""

    def visit(node: ast.AST, function: str, types_only: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                parts = package.split(".")[: len(package.split(".")) + 1 - child.level] if child.level else []
                base = ".".join([*parts, *filter(None, [child.module])])
                # `from graphscope import run` names an area, `from graphscope import Run` the package itself.
                names = [f"{base}.{alias.name}" for alias in child.names] if base == "graphscope" else [base]
            else:
                inside = child.name if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) else function
                checking = isinstance(child, ast.If) and ast.unparse(child.test) in (
                    "TYPE_CHECKING",
                    "typing.TYPE_CHECKING",
                )
                yield from visit(child, inside, types_only or checking)
                continue
            for name in names:
                first, _, rest = name.partition(".")
                area = rest.partition(".")[0]
                yield Import(
                    area if first == "graphscope" and area in PYTHON else first, function, types_only, child.lineno
                )

    return visit(ast.parse(source), "", False)


def python_area(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def python_violations(source: str, area: str, package: str) -> list[str]:
    """What a module of this area imports although the table does not allow it."""
    if area not in PYTHON:
        return [f"the area {area!r} is not in the table"]
    allowed = {area, *PYTHON[area].split()}
    found = []
    for each in python_imports(source, package):
        doors = {(function, target) for door_area, function, target in DOORS if door_area == area}
        through_a_door = (each.function, each.target) in doors
        for_types = each.types_only and each.target in {target for _, target in doors}
        library = each.target in sys.stdlib_module_names and each.target not in UNSAFE
        if not (each.target in allowed or library or through_a_door or for_types):
            found.append(
                f"line {each.line}: {area} imports {each.target}" + f" in {each.function}()" * bool(each.function)
            )
    return found


TS_IMPORT = re.compile(
    r"""^\s*(?:import|export)\s+(?P<type>type\s)?[^;"'`]*?\bfrom\s*["'](?P<source>[^"']+)["']
      | ^\s*import\s*["'](?P<bare>[^"']+)["']
      | \b(?:import|require)\s*\(\s*["'`](?P<call>[^"'`]+)["'`]""",
    re.MULTILINE | re.VERBOSE,
)


def typescript_violations(source: str, path: Path) -> list[str]:
    """What a file of js/src imports although the table does not allow it."""
    area = path.relative_to(SCRIPTS).parts[0].partition(".")[0]
    if area not in TYPESCRIPT:
        return [f"the folder {area!r} is not in the table"]
    allowed = {area, *TYPESCRIPT[area].split()}
    found = []
    for match in TS_IMPORT.finditer(source):
        name = match["source"] or match["bare"] or match["call"]
        if name.startswith("."):
            inside = Path(*path.parent.parts, *Path(name.removesuffix("?inline")).parts).resolve()
            target = inside.relative_to(SCRIPTS).parts[0].partition(".")[0] if inside.is_relative_to(SCRIPTS) else name
        else:
            scope, _, rest = name.partition("/")
            target = f"{scope}/{rest.partition('/')[0]}" if scope.startswith("@") else scope
        names = {target, f"{target.partition('/')[0]}/*"}
        if not (names & allowed or (match["type"] and {f"type:{each}" for each in names} & allowed)):
            line = source.count("\n", 0, match.start()) + 1
            found.append(f"line {line}: {area} imports {name}" + " (even as a type)" * bool(match["type"]))
    return found


def typescript_files() -> list[Path]:
    files = [path for path in SCRIPTS.rglob("*.ts*") if path.suffix in (".ts", ".tsx")]
    return sorted(path for path in files if not re.search(r"\.(test\.tsx?|d\.ts)$", path.name))


def test_python_modules_import_only_what_the_table_allows() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 10
    wrong = [
        f"{path.relative_to(ROOT)} {each}"
        for path in files
        for each in python_violations(
            path.read_text(), python_area(path), ".".join(path.relative_to(ROOT).parent.parts)
        )
    ]
    assert not wrong, "\n".join(wrong)


def test_typescript_modules_import_only_what_the_table_allows() -> None:
    files = typescript_files()
    assert len(files) > 10
    wrong = [
        f"{path.relative_to(ROOT)} {each}" for path in files for each in typescript_violations(path.read_text(), path)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("area", "source", "target"),
    [
        ("rules", "import torch", "torch"),
        ("rules", "def rule(run):\n    from torch import nn", "torch"),
        ("run", "from graphscope.session import watch", "session"),
        ("run", "from ..capture import ops", "capture"),
        ("run", "from graphscope import load", "graphscope"),
        ("schema", "import numpy as np", "numpy"),
        ("graph", "from graphscope.reports.svg import svg_of", "reports"),  # a door, but not in its function
        ("session", "import IPython.display", "IPython"),
        ("reports", "import pickle", "pickle"),
        ("reports", "import requests", "requests"),
        ("helpers", "import os", "helpers"),
    ],
)
def test_a_wrong_python_import_is_found(area: str, source: str, target: str) -> None:
    (violation,) = python_violations(source, area, f"graphscope.{area}")
    assert target in violation


def test_a_display_door_is_open_in_its_function_and_for_types_only() -> None:
    assert python_violations("def to_networkx(self):\n    import networkx", "graph", "graphscope.graph") == []
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import networkx"
    assert python_violations(types, "graph", "graphscope.graph") == []
    assert python_violations("def other(self):\n    import networkx", "graph", "graphscope.graph") != []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("run/run.ts", 'import { signal } from "@preact/signals";'),
        ("run/run.ts", 'import {\n  App,\n} from "../views/app";'),
        ("layout/level.ts", 'import { Run } from "../run/run";'),
        ("views/app.tsx", 'import { Widget } from "@lumino/widgets";'),
        ("views/app.tsx", 'export { CommSource } from "../sources/comm";'),
        ("views/app.tsx", 'const lazy = await import("../entry/lab");'),
        ("base/theme.ts", 'import "./../../outside";'),
        ("common/tools.ts", ""),
    ],
)
def test_a_wrong_typescript_import_is_found(file: str, source: str) -> None:
    assert len(typescript_violations(source, SCRIPTS / file)) == 1


def test_a_type_import_is_allowed_where_the_table_says_so() -> None:
    assert typescript_violations('import type { Run } from "../run/run";', SCRIPTS / "layout/level.ts") == []
    assert typescript_violations('import source from "./worker.ts?inline";', SCRIPTS / "layout/client.ts") == []
    assert typescript_violations('import type { IComm } from "@jupyterlab/services";', SCRIPTS / "lab/panel.ts") == []


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({HEAVY_PACKAGES!r}) & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd="/")
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == []
