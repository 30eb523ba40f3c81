"""One thread, at most ten messages a second, nobody starves, and it ends with the last link."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from graphscope.jupyter.publisher import MESSAGE_SECONDS, Publisher


class Talker:
    """Always has something to say."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, str]] = []
        self.closed = False

    def flush(self, now: float) -> bool:
        self.sent.append((time.monotonic(), threading.current_thread().name))
        return True

    def close(self) -> None:
        self.closed = True


class Quiet(Talker):
    def flush(self, now: float) -> bool:
        super().flush(now)
        return False


class Broken(Talker):
    def flush(self, now: float) -> bool:
        raise OSError("the socket is closed")


def stopped(publisher: Publisher) -> bool:
    deadline = time.monotonic() + 3
    while publisher._thread is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    return publisher._thread is None


def test_links_share_ten_messages_a_second_fairly() -> None:
    publisher, peers = Publisher(), [Talker(), Talker(), Talker()]
    for peer in peers:
        publisher.add(peer)
    time.sleep(1.5)
    for peer in peers:
        publisher.remove(peer)
    times = sorted(at for peer in peers for at, _ in peer.sent)
    assert 6 <= len(times) <= 1.5 / MESSAGE_SECONDS + 1
    assert min(b - a for a, b in itertools.pairwise(times)) >= MESSAGE_SECONDS * 0.9
    counts = [len(peer.sent) for peer in peers]
    assert max(counts) - min(counts) <= 2, "the first was alone for a moment"
    assert len({name for peer in peers for _, name in peer.sent}) == 1
    assert stopped(publisher)


def test_a_quiet_link_does_not_use_up_turns() -> None:
    publisher, quiet, talker = Publisher(), Quiet(), Talker()
    publisher.add(quiet)
    publisher.add(talker)
    time.sleep(0.5)
    publisher.remove(quiet)
    publisher.remove(talker)
    assert len(talker.sent) >= 3
    assert stopped(publisher)


def test_a_link_that_cannot_send_is_closed_and_the_others_go_on() -> None:
    publisher, broken, talker = Publisher(), Broken(), Talker()
    with pytest.warns(RuntimeWarning, match="no longer updated .*the socket is closed"):
        publisher.add(broken)
        publisher.add(talker)
        time.sleep(0.4)
    publisher.remove(talker)
    assert broken.closed and not talker.closed
    assert talker.sent
    assert stopped(publisher)


def test_it_starts_again_for_a_new_link() -> None:
    publisher, first, second = Publisher(), Talker(), Talker()
    publisher.add(first)
    publisher.remove(first)
    assert stopped(publisher)
    publisher.add(second)
    time.sleep(0.15)
    publisher.remove(second)
    assert second.sent
    assert stopped(publisher)
