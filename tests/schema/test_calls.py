"""The order of calls as text: what is folded unfolds to the same, whatever the loop; hostile texts stay small."""

from __future__ import annotations

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from graphscope.schema import CALLS
from graphscope.schema.calls import folded, unfolded


def runs(words):
    return [(word, len(list(group))) for word, group in groupby(words)]


@given(st.lists(st.lists(st.sampled_from(CALLS), min_size=1, max_size=4).map(lambda w: w * 3), max_size=6))
def test_unfolding_gives_back_what_was_folded(parts):
    words = [word for part in parts for word in part]
    assert list(unfolded(folded(runs(words)))) == words


def test_a_loop_is_as_short_as_one_would_write_it():
    step = ["forward", "backward"]
    assert folded(runs(["zero_grad", *step * 4, "optimizer_step"])) == "zero_grad (forward backward)*4 optimizer_step"
    assert folded(runs(["forward_no_grad"] * 10_000 + step)) == "forward_no_grad*10000 forward backward"
    assert folded([]) == ""


def test_a_hostile_text_gives_no_more_words_than_asked_for():
    for text in ("(forward backward)*999999999", "forward*999999999", "()*999999999", "(()*9)*9", "((((", "*5 )", ""):
        assert len(list(unfolded(text, most=50))) <= 50
