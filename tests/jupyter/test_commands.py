"""What a page may say, field by field; the hostile list is written by hand from what JSON allows."""

from __future__ import annotations

import math
from typing import Any

import pytest

from graphscope.errors import CommandRefused
from graphscope.jupyter.commands import command_of
from graphscope.messages import COMMANDS, Hello, Select, TrainerSet, TrainerStart

GOOD = [
    {"kind": "hello"},
    {"kind": "ping", "request": 1},
    {"kind": "select", "request": 1, "address": 0, "role": 5},
    {"kind": "look", "step": 12},
    {"kind": "capture_next"},
    {"kind": "look_inside", "fqn": "layer1.0", "call": 1},
    {"kind": "look_inside", "fqn": ""},
    {"kind": "save_report"},
    {"kind": "show_rank", "rank": -1},
    {"kind": "trainer_start", "settings": {"data": "digits", "lr": 0.1, "augment": True, "clip": None}},
    {"kind": "trainer_start"},
    {"kind": "trainer_pause"},
    {"kind": "trainer_step"},
    {"kind": "trainer_layer"},
    {"kind": "trainer_layer", "fqn": "conv1", "direction": "backward"},
    {"kind": "trainer_stop"},
    {"kind": "trainer_restart"},
    {"kind": "trainer_momentum", "momentum": 0.5},
    {"kind": "trainer_dropout", "fqn": "drop1", "p": 0.25},
    {"kind": "trainer_break", "condition": "nan()"},
    {"kind": "trainer_set", "lr": 1},
    {"kind": "list"},
    {"kind": "open", "session": "ab12"},
]
BAD: list[Any] = [
    None,
    "hello",
    ["hello"],
    {},
    {"kind": 3},
    {"kind": ["hello"]},
    {"kind": "__init__"},
    {"kind": "helo"},
    {"kind": "x" * 100_000},
    {"kind": "hello", "extra": 1},
    {"kind": "hello", "kind ": 1},
    {"kind": "ping"},
    {"kind": "ping", "request": "1"},
    {"kind": "ping", "request": 1.0},
    {"kind": "ping", "request": True},
    {"kind": "ping", "request": None},
    {"kind": "ping", "request": 10**400},
    {"kind": "select", "request": 1, "address": 0},
    {"kind": "select", "request": 1, "address": {}, "role": 0},
    {"kind": "look", "step": -(2**54)},
    {"kind": "trainer_set", "lr": math.nan},
    {"kind": "trainer_set", "lr": math.inf},
    {"kind": "trainer_set", "lr": "0.1"},
    {"kind": "trainer_set", "lr": False},
    {"kind": "trainer_start", "settings": []},
    {"kind": "trainer_start", "settings": {"a": {"b": 1}}},
    {"kind": "trainer_start", "settings": {"a": [1]}},
    {"kind": "trainer_start", "settings": {"a": "x" * 10_000}},
    {"kind": "trainer_start", "settings": {"a": math.inf}},
    {"kind": "trainer_start", "settings": {str(i): i for i in range(1000)}},
    {"kind": "trainer_start", "settings": {3: 1}},
    {"kind": "open", "session": 4},
    {"kind": "open", "session": "s" * 10_000},
    {"kind": "open", "model": None},
]


@pytest.mark.parametrize("content", GOOD, ids=lambda c: c["kind"])
def test_a_good_command_becomes_its_dataclass(content: dict[str, Any]) -> None:
    command = command_of(content)
    assert command.kind == content["kind"]
    for name, value in content.items():
        assert name == "kind" or getattr(command, name) == value


def test_every_command_has_a_good_case() -> None:
    assert {content["kind"] for content in GOOD} == {command.kind for command in COMMANDS}


@pytest.mark.parametrize("content", BAD, ids=lambda c: str(c)[:40])
def test_anything_else_is_refused_in_one_short_line(content: Any) -> None:
    with pytest.raises(CommandRefused) as refused:
        command_of(content)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


def test_the_refusal_says_what_was_found_and_wanted() -> None:
    with pytest.raises(CommandRefused, match=r"select: role is 'x', wanted a whole number\."):
        command_of({"kind": "select", "request": 1, "address": 0, "role": "x"})
    with pytest.raises(CommandRefused, match='Did you mean "hello"'):
        command_of({"kind": "helo"})


def test_numbers_become_floats_where_floats_are_wanted_and_defaults_hold() -> None:
    assert command_of({"kind": "trainer_set", "lr": 1}) == TrainerSet(lr=1.0)
    assert isinstance(command_of({"kind": "trainer_set", "lr": 1}).lr, float)  # type: ignore[union-attr]
    assert command_of({"kind": "trainer_start"}) == TrainerStart(settings={})
    assert command_of({"kind": "hello"}) == Hello()
    assert command_of({"kind": "select", "request": 2, "address": 3, "role": 1}) == Select(request=2, address=3, role=1)
