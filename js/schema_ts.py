"""graphscope/schema/ + messages.py -> js/src/schema.ts, so that a field and its meaning exist once.

``python js/schema_ts.py`` writes the file. Field docstrings become TSDoc (and tooltips through DESCRIPTIONS), array
annotations become typed arrays and the tables by which the decoder reads a blob. A test holds both files together.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from graphscope import messages, schema  # noqa: E402

TARGET = ROOT / "js" / "src" / "schema.ts"
ARRAYS = {
    "u8": "Uint8Array",
    "u16": "Uint16Array",
    "u32": "Uint32Array",
    "i32": "Int32Array",
    "i64": "Float64Array",  # converted when decoded: a number of the page is a double
    "f32": "Float32Array",
    "f64": "Float64Array",
}
CONSTANTS = (
    "SCHEMA_MAJOR", "SCHEMA_MINOR", "ROLES", "STATISTICS", "HISTOGRAM_BINS", "HISTOGRAM_MIN_EXPONENT", "VALUE_KINDS",
    "ESTIMATE", "NOT_MEASURED", "HISTOGRAM_ESTIMATE", "COSINE_ESTIMATE", "INPLACE", "FAILED", "VIEW",
)  # fmt: skip
NAMES_OF = {"ROLES": "Role", "STATISTICS": "StatName", "VALUE_KINDS": "ValueKind"}
LITERALS = {
    schema.Severity: "Severity",
    messages.SessionState: "SessionState",
    messages.TrainerState: "TrainerState",
}
DESCRIBED = (schema.StepStats, *schema.LAYER_STATS)
"""Kinds whose field docstrings the page shows as tooltips."""


def array_code(annotation: Any) -> tuple[str, bool] | None:
    """An annotation -> (element type, may be None) of an array field; None for every other field."""
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[1], False
    if get_origin(annotation) in (Union, types.UnionType):
        codes = [code for member in get_args(annotation) if (code := array_code(member))]
        return (codes[0][0], True) if codes else None
    return None


def ts_type(annotation: Any, names: bool = True) -> str:
    """A field's annotation -> TypeScript type text; with ``names`` False, a named union is spelled out."""
    if names and annotation in LITERALS:
        return LITERALS[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return ARRAYS[args[1]]
    if origin in (Union, types.UnionType):
        return " | ".join(ts_type(member) for member in args)
    if origin is Literal:
        return " | ".join(json.dumps(member) for member in args)
    if origin is Sequence:
        member = ts_type(args[0])
        return f"({member})[]" if " | " in member else f"{member}[]"
    if origin is dict:
        return f"Record<string, {ts_type(args[1])}>"
    plain = {str: "string", int: "number", float: "number", bool: "boolean", Any: "unknown", type(None): "null"}
    if annotation not in plain:
        raise TypeError(f"schema_ts: no TypeScript type is known for {annotation!r}; add it to ts_type")
    return plain[annotation]


def docstrings(module: types.ModuleType) -> dict[str, str]:
    """``Class.field`` or ``CONSTANT`` -> the docstring that follows its definition."""
    found: dict[str, str] = {}

    def collect(body: list[ast.stmt], prefix: str) -> None:
        for statement, following in zip(body, [*body[1:], None], strict=True):
            if isinstance(statement, ast.ClassDef):
                collect(statement.body, f"{statement.name}.")
            names = []
            if isinstance(statement, ast.AnnAssign):
                names = [statement.target]
            elif isinstance(statement, ast.Assign):
                target = statement.targets[0]
                names = list(target.elts) if isinstance(target, ast.Tuple) else [target]
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                text = inspect.cleandoc(str(following.value.value))
                found.update({prefix + name.id: text for name in names if isinstance(name, ast.Name)})

    collect(ast.parse(inspect.getsource(module)).body, "")
    return found


DOCS = {
    name: text
    for module in (
        *(getattr(schema, name) for name in ("words", "graphs", "statistics", "steps", "run_facts")),
        messages,
    )
    for name, text in docstrings(module).items()
}


def tsdoc(text: str | None, indent: str = "") -> Iterator[str]:
    """Docstring -> TSDoc lines."""
    lines = (text or "").replace("``", "`").replace("*/", "* /").splitlines()
    if len(lines) == 1:
        yield f"{indent}/** {lines[0]} */"
    elif lines:
        yield f"{indent}/**"
        yield from (f"{indent} * {line}".rstrip() for line in lines)
        yield f"{indent} */"


def interface(cls: type) -> Iterator[str]:
    """One dataclass -> one interface, discriminated by ``kind``."""
    hints = typing.get_type_hints(cls, include_extras=True)
    yield from tsdoc(inspect.cleandoc(cls.__doc__ or ""))
    yield f"export interface {cls.__name__} {{"
    yield f"  readonly kind: {json.dumps(cls.kind)};"
    for field in dataclasses.fields(cls):
        yield from tsdoc(DOCS.get(f"{cls.__name__}.{field.name}"), "  ")
        yield f"  readonly {field.name}: {ts_type(hints[field.name])};"
    yield "}"
    yield ""


def union(name: str, members: Sequence[type]) -> str:
    return f"export type {name} =\n" + "\n".join(f"  | {cls.__name__}" for cls in members) + ";\n"


def kinds(name: str, members: Sequence[type]) -> str:
    return f"export const {name} = {json.dumps([cls.kind for cls in members])} as const;\n"


def table(name: str, doc: str, of: str, rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """A literal table by kind and field; kinds without a row are left out."""
    yield from tsdoc(doc)
    yield f"export const {name}: {{ readonly [kind: string]: {{ readonly [field: string]: {of} }} }} = {{"
    for kind, row in rows.items():
        if not row:
            continue
        text = json.dumps(row, ensure_ascii=False)
        if len(text) < 100:
            yield f"  {kind}: {text},"
            continue
        yield f"  {kind}: {{"
        yield from (f"    {field}: {json.dumps(value, ensure_ascii=False)}," for field, value in row.items())
        yield "  },"
    yield "};"
    yield ""


def tables(classes: Sequence[type]) -> Iterator[str]:
    """FIELDS, NULLABLE, JSON_FIELDS, DEFAULTS and DESCRIPTIONS of everything a blob can hold."""
    arrays: dict[str, dict[str, str]] = {}
    nullable: dict[str, dict[str, bool]] = {}
    jsons: dict[str, dict[str, str]] = {}
    defaults: dict[str, dict[str, Any]] = {}
    for cls in classes:
        hints = typing.get_type_hints(cls, include_extras=True)
        arrays[cls.kind], nullable[cls.kind], jsons[cls.kind], defaults[cls.kind] = {}, {}, {}, {}
        for field in dataclasses.fields(cls):
            code = array_code(hints[field.name])
            if code is None:
                jsons[cls.kind][field.name] = ts_type(hints[field.name], names=False)
            else:
                arrays[cls.kind][field.name] = code[0]
                if code[1]:
                    nullable[cls.kind][field.name] = True
            if field.default is not dataclasses.MISSING:
                defaults[cls.kind][field.name] = field.default
            elif field.default_factory is not dataclasses.MISSING:
                defaults[cls.kind][field.name] = field.default_factory()
    yield from table("FIELDS", "Array fields by kind: how the tensor of that name is read.", "ArrayCode", arrays)
    yield from table("NULLABLE", "Array fields that may be absent; they are null then.", "true", nullable)
    yield from table("JSON_FIELDS", "Fields by kind that travel as JSON, with their TypeScript types.", "string", jsons)
    older = "What a field of an older writer, which did not know it yet, is read as."
    yield from table("DEFAULTS", older, "unknown", defaults)
    described = {
        cls.kind: {
            field.name: DOCS[key].replace("``", "")
            for field in dataclasses.fields(cls)
            if (key := f"{cls.__name__}.{field.name}") in DOCS
        }
        for cls in DESCRIBED
    }
    yield from table("DESCRIPTIONS", "What a field means, in words a tooltip can show.", "string", described)


def constants() -> Iterator[str]:
    for name in CONSTANTS:
        value = getattr(schema, name)
        yield from tsdoc(DOCS.get(name))
        literal = json.dumps(list(value) if isinstance(value, tuple) else value)
        yield f"export const {name} = {literal}{' as const' if isinstance(value, tuple) else ''};"
        if name in NAMES_OF:
            yield f"export type {NAMES_OF[name]} = (typeof {name})[number];"
    yield ""


def generate() -> str:
    """The whole text of js/src/schema.ts."""
    lines = [
        "// Generated by js/schema_ts.py from graphscope/schema/ and graphscope/messages.py. Do not edit.",
        "",
        *constants(),
    ]
    for alias, name in LITERALS.items():
        lines.append(f"export type {name} = {' | '.join(json.dumps(member) for member in get_args(alias))};")
    lines.append("")
    for cls in (*schema.RECORDS, *schema.STORED, *messages.REPLIES, *messages.COMMANDS):
        lines += interface(cls)
    lines += [
        union("RunRecord", schema.RECORDS),
        union("LayerStats", schema.LAYER_STATS),
        "/** What a kernel says to a page besides records. */\n" + union("Reply", messages.REPLIES),
        "/** What a page may ask of a kernel; JSON only. */\n" + union("Command", messages.COMMANDS),
        "/** Element types of array fields as they are stored; i64 is read into a Float64Array. */",
        f"export type ArrayCode = {' | '.join(json.dumps(code) for code in ARRAYS)};",
        kinds("RECORD_KINDS", schema.RECORDS),
        kinds("STORED_KINDS", schema.STORED),
        kinds("REPLY_KINDS", messages.REPLIES),
        *tables((*schema.RECORDS, *schema.STORED, *messages.REPLIES)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    TARGET.write_text(generate(), encoding="utf-8")
    print(f"schema_ts: wrote {TARGET.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
