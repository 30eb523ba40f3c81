"""The conventions of schema.py and messages.py, and the TypeScript that is generated from them."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import typing
from pathlib import Path
from types import ModuleType

import pytest

from graphscope import messages, schema

ROOT = Path(__file__).resolve().parent.parent
EVERYTHING = (*schema.RECORDS, *schema.STORED, *messages.REPLIES, *messages.COMMANDS)


@pytest.fixture(scope="module")
def schema_ts() -> ModuleType:
    spec = importlib.util.spec_from_file_location("schema_ts", ROOT / "js" / "schema_ts.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_typescript_is_what_the_schema_yields(schema_ts: ModuleType) -> None:
    committed = (ROOT / "js" / "src" / "schema.ts").read_text(encoding="utf-8")
    assert committed == schema_ts.generate(), "run: python js/schema_ts.py"


def test_every_class_is_frozen_slotted_keyword_only_and_has_its_own_kind() -> None:
    kinds = [cls.kind for cls in EVERYTHING]
    assert len(set(kinds)) == len(kinds)
    for cls in EVERYTHING:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", cls.kind), cls
        assert cls.__dataclass_params__.frozen and "__dict__" not in dir(cls), cls
        assert all(field.kw_only for field in dataclasses.fields(cls)), cls
        assert cls.__doc__ and not cls.__doc__.startswith(cls.__name__), f"{cls.__name__} has no docstring of its own"


def test_every_field_has_a_type_that_both_languages_know(schema_ts: ModuleType) -> None:
    for cls in EVERYTHING:
        hints = typing.get_type_hints(cls, include_extras=True)
        for field in dataclasses.fields(cls):
            assert schema_ts.ts_type(hints[field.name])
            assert field.name not in ("kind", "json"), "these two are keys of the blob's metadata"


def test_commands_hold_no_arrays(schema_ts: ModuleType) -> None:
    for cls in messages.COMMANDS:
        hints = typing.get_type_hints(cls, include_extras=True)
        assert all(schema_ts.array_code(hints[field.name]) is None for field in dataclasses.fields(cls))


def test_field_docstrings_reach_the_typescript(schema_ts: ModuleType) -> None:
    text = schema_ts.generate()
    assert "/** Share of non-zero inputs that came out zero; None if all inputs were zero. */" in text
    assert "readonly running_mean: Float64Array | null;" in text
    assert 'batch_var: "f64"' in text


def test_an_unknown_annotation_is_refused_with_words(schema_ts: ModuleType) -> None:
    with pytest.raises(TypeError, match="no TypeScript type is known"):
        schema_ts.ts_type(complex)
