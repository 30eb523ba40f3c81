"""What waits for a slow page: everything small arrives, statistics of the middle are dropped and counted."""

from __future__ import annotations

from graphscope.jupyter.outbox import Item, Outbox


def frames_of(outbox: Outbox, limit: int) -> list[bytes]:
    messages = []
    while message := outbox.take(limit):
        messages.append(message)
    return messages


def test_frames_stay_whole_and_in_order() -> None:
    outbox = Outbox()
    outbox.put(Item(bytes([i]) * 3, None) for i in range(7))
    messages = frames_of(outbox, 8)
    assert [len(message) for message in messages] == [6, 6, 6, 3]
    assert b"".join(messages) == b"".join(bytes([i]) * 3 for i in range(7))
    assert not outbox and outbox.take() == b""


def test_a_frame_above_the_limit_comes_alone() -> None:
    outbox = Outbox()
    outbox.put([Item(b"a", None), Item(b"b" * 50, None), Item(b"c", None)])
    assert frames_of(outbox, 10) == [b"a", b"b" * 50, b"c"]


def test_a_slow_page_loses_statistics_of_the_middle_only() -> None:
    outbox = Outbox(backlog_bytes=1000)
    for step in range(40):
        outbox.put([Item(b"step%04d|" % step, None), Item(b"stat%04d|" % step * 10, step)])
    kept = b"".join(frames_of(outbox, 10**9))
    assert all(b"step%04d|" % step in kept for step in range(40))
    statistics = [step for step in range(40) if b"stat%04d|" % step in kept]
    assert statistics[0] == 0 and statistics[-1] == 39
    assert outbox.dropped_steps == 40 - len(statistics) > 0
    assert len(kept) <= 1000 + 9 * 11


def test_what_cannot_be_dropped_is_kept_above_the_limit() -> None:
    outbox = Outbox(backlog_bytes=10)
    outbox.put(Item(b"graph" * 10, None) for _ in range(5))
    assert len(outbox.take()) == 250
    assert outbox.dropped_steps == 0
