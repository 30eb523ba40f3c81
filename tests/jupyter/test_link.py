"""One page's connection: the snapshot is whole and in order, live records follow without a gap, commands are safe."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphscope.jupyter.link as link_module
from graphscope.errors import SessionClosed, UnknownAddress
from graphscope.graph import Graph
from graphscope.jupyter.link import HANDLERS, Link
from graphscope.jupyter.publisher import Publisher
from graphscope.jupyter.snapshot import GLANCE, Extent, chosen_steps
from graphscope.messages import COMMANDS, ListKernel, Open, TrainerSamples, TrainerStatus
from graphscope.run import encode, load
from graphscope.schema import Finding
from tests.jupyter.fakes import FakeSession, Hand, Page, op_gradients, step_batch
from tests.run.test_ranks import write as write_rank


def greeted(source: Any, page: Page, hand: Hand, **options: Any) -> Link:
    link = Link(source, page.send, publisher=hand, **options)
    link.handle({"kind": "hello"})
    hand.turn()
    return link


def trainer_status(**changes: Any) -> TrainerStatus:
    fields: dict[str, Any] = {
        "state": "training", "settings": {}, "choices": {}, "step": 1, "total_steps": 2, "epoch": 1, "epochs": 1,
        "loss": None, "accuracy": None, "test_accuracy": None, "images_per_second": None, "seconds_left": None,
        "data_text": "", "model_text": "",
    }  # fmt: skip
    return TrainerStatus(**{**fields, **changes})


class FakeTraining:
    """Notes what it was told."""

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self.told: list[tuple[Any, ...]] = []
        self._status = trainer_status()
        self._samples: TrainerSamples | None = None
        session.trainer = self

    def status(self) -> TrainerStatus:
        return self._status

    def samples(self) -> TrainerSamples | None:
        return self._samples

    def restart(self) -> None:
        self.told.append(("restart",))

    def start(self, settings: dict[str, Any] | None = None) -> None:
        self.told.append(("start", settings))

    def pause(self) -> None:
        self.told.append(("pause",))

    def step(self) -> None:
        self.told.append(("step",))

    def stop(self) -> None:
        self.told.append(("stop",))

    def set_lr(self, lr: float) -> None:
        self.told.append(("set_lr", lr))


def test_hello_brings_everything_in_order(session: FakeSession, page: Page, hand: Hand) -> None:
    for step in range(3):
        session.feed(step_batch(step))
    session.feed([Finding(rule="r", severity="error", title="t", message="m", advice="a", why="w", fqn="conv")])
    greeted(session, page, hand)
    kinds = page.kinds()
    first = {kind: kinds.index(kind) for kind in set(kinds)}
    assert kinds[0] == "run_header"
    assert first["graph"] < first["step_stats"] and first["addresses"] < first["step_stats"]
    assert [record.step for record in page.of("step")] == [0, 1, 2]
    assert [record.step for record in page.of("step_stats")] == [0, 1, 2]
    assert len(page.of("dropout_stats")) == 3 and len(page.of("finding")) == 1
    assert page.of("session_status")[-1] == session.status()
    np.testing.assert_array_equal(page.of("step_stats")[2].mean, [2, 2, 2])
    assert all(content == {"type": "frames"} for content in page.contents)


def test_nothing_is_sent_before_hello(session: FakeSession, page: Page, hand: Hand) -> None:
    Link(session, page.send, publisher=hand)
    session.feed(step_batch(0))
    assert hand.turn() == 0 and page.messages == []


def test_live_records_follow_and_the_newest_status_wins(session: FakeSession, page: Page, hand: Hand) -> None:
    greeted(session, page, hand)
    before = len(page.messages)
    for step in range(20):
        session.feed(step_batch(step))
    assert hand.turn() == 1, "twenty batches are one message"
    assert len(page.messages) == before + 1
    assert [record.step for record in page.of("step")] == list(range(20))
    assert page.of("session_status")[-1].step == 19
    assert hand.turn() == 0, "nothing new, nothing sent"


def test_a_batch_that_arrives_during_the_snapshot_is_not_lost(
    session: FakeSession, page: Page, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.feed(step_batch(0))

    def slow_snapshot(run: Any, extent: Any) -> Any:
        records = list(original(run, extent))
        session.feed(step_batch(1))  # the recorder goes on while the snapshot is made
        return records

    original = link_module.snapshot
    monkeypatch.setattr(link_module, "snapshot", slow_snapshot)
    greeted(session, page, hand)
    assert [record.step for record in page.of("step")] == [0, 1]


def test_the_recorder_never_waits_for_a_page_that_greets(session: FakeSession, hand: Hand) -> None:
    """Hello from many threads while batches come: every step arrives, none twice as a gap."""
    page = Page()
    link = Link(session, page.send, publisher=hand)
    callers = [threading.Thread(target=link.handle, args=({"kind": "hello"},)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for step in range(50):
        session.feed(step_batch(step))
    for caller in callers:
        caller.join(5)
        assert not caller.is_alive()
    hand.turn()
    assert {record.step for record in page.of("step")} == set(range(50))


def test_long_runs_are_thinned_and_captured_steps_kept(session: FakeSession, page: Page, hand: Hand) -> None:
    for step in range(500):
        session.feed(step_batch(step, captured=step % 7 == 0))
    greeted(session, page, hand, extent=Extent(steps=50, captured=8, statistics_bytes=10**9))
    captured = [record.step for record in page.of("step_stats")]
    assert len(captured) == 8 and captured[0] == 0 and captured[-1] == 497
    steps = [record.step for record in page.of("step")]
    assert steps == sorted(steps) and set(captured) <= set(steps)
    assert steps[0] == 0 and steps[-1] == 499 and len(steps) <= 58


def test_messages_stay_below_a_megabyte(session: FakeSession, page: Page, hand: Hand) -> None:
    for step in range(3000):
        session.feed(step_batch(step))
    greeted(session, page, hand, extent=Extent(steps=5_000, captured=1_000, statistics_bytes=10**9))
    assert len(page.sizes) > 1
    assert max(page.sizes) <= 1_000_000


def test_a_page_that_does_not_keep_up_loses_statistics_of_the_middle_and_is_told(
    session: FakeSession, page: Page, hand: Hand
) -> None:
    link = greeted(session, page, hand)
    link._outbox._backlog_bytes = 40_000
    for step in range(200):
        session.feed(step_batch(step))
    hand.turn()
    sent = [record.step for record in page.of("step_stats")]
    assert 2 <= len(sent) < 200 and sent[0] == 0 and sent[-1] == 199
    assert [record.step for record in page.of("step")] == list(range(200))
    (note,) = page.of("note")
    assert f"{200 - len(sent):,} captured steps were not sent" in note.text


def test_select_answers_with_all_recorded_steps(session: FakeSession, page: Page, hand: Hand) -> None:
    for step in range(300):
        session.feed(step_batch(step))
    link = greeted(session, page, hand)
    link.handle({"kind": "select", "request": 7, "address": 1, "role": 0})
    (reply,) = page.of("series")
    assert (reply.request, reply.address, reply.role) == (7, 1, 0)
    np.testing.assert_array_equal(reply.step, np.arange(300))
    np.testing.assert_array_equal(reply.mean, np.arange(300))
    np.testing.assert_array_equal(reply.l2, np.full(300, 2.0))
    np.testing.assert_array_equal(reply.zero_share, np.zeros(300))


def test_look_sends_that_step_alone(session: FakeSession, page: Page, hand: Hand) -> None:
    for step in range(30):
        session.feed(step_batch(step))
    link = greeted(session, page, hand, extent=Extent(steps=10, captured=2, statistics_bytes=10**9))
    sent = len(page.of("step_stats"))
    link.handle({"kind": "look", "step": 13})
    assert [record.step for record in page.of("step_stats")[sent:]] == [13]
    assert page.of("dropout_stats")[-1].step == 13


def test_op_gradients_travel_with_the_statistics_of_their_step(session: FakeSession, page: Page, hand: Hand) -> None:
    graph_id = session.graph.graph_id
    for step in range(30):
        session.feed([*step_batch(step), op_gradients(step, graph_id)])
    link = greeted(session, page, hand, extent=Extent(steps=10, captured=2, statistics_bytes=10**9))
    assert [record.step for record in page.of("op_gradients")] == [0, 29]
    link.handle({"kind": "look", "step": 13})
    assert [record.step for record in page.of("op_gradients")][2:] == [13]
    np.testing.assert_array_equal(page.of("op_gradients")[2].l2, [13, 1])
    session.feed([op_gradients(30, graph_id)])
    hand.turn()
    assert page.of("op_gradients")[-1].step == 30


def test_op_gradients_count_in_the_bound_of_what_is_sent(session: FakeSession) -> None:
    for step in range(30):
        session.feed(step_batch(step))
    size = sum(len(encode(record)) for record in session.run.records_at(29))
    extent = Extent(steps=10, captured=30, statistics_bytes=10 * size)
    assert len(chosen_steps(session.run, extent)) == 10
    session.feed([op_gradients(step, session.graph.graph_id) for step in range(30)])
    assert len(chosen_steps(session.run, extent)) < 10


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ({"kind": "select", "request": 1, "address": 99, "role": 0}, "no address number 99"),
        ({"kind": "select", "request": 1, "address": -1, "role": 0}, "no address number -1"),
        ({"kind": "select", "request": 1, "address": 0, "role": 99}, "no role number 99"),
        ({"kind": "select", "request": 1, "address": 0, "role": 1}, "no gradient"),
        ({"kind": "look", "step": 5}, "no statistics were recorded at step 5"),
        ({"kind": "look"}, "the field step is missing"),
        ({"kind": "__class__"}, "no kind is called"),
        ({"kind": "show_rank", "rank": 0}, "only a run read from its files"),
        ({"kind": "trainer_stop"}, "watches your own loop"),
        ({"kind": "list"}, "the sidebar has"),
        ("hello", "wanted an object"),
    ],
)
def test_what_cannot_be_done_is_answered_in_one_sentence(
    session: FakeSession, page: Page, hand: Hand, command: Any, words: str
) -> None:
    session.feed(step_batch(0))
    link = greeted(session, page, hand)
    link.handle(command)
    (error,) = page.of("command_error")
    assert words in error.text and "\n" not in error.text


def test_a_bug_of_ours_in_a_handler_is_said_and_ends_nothing(
    session: FakeSession, page: Page, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = greeted(session, page, hand)
    monkeypatch.setattr(session, "capture_next", lambda: 1 / 0)
    link.handle({"kind": "capture_next"})
    assert "ZeroDivisionError" in page.of("command_error")[0].text
    link.handle({"kind": "ping", "request": 3})
    assert page.of("pong")[0].request == 3


def test_capture_next_reaches_the_session_and_a_closed_one_says_so(
    session: FakeSession, page: Page, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = greeted(session, page, hand)
    link.handle({"kind": "capture_next"})
    assert session.captures == 1

    def closed() -> None:
        raise SessionClosed("capture_next(): this session was closed.")

    monkeypatch.setattr(session, "capture_next", closed)
    link.handle({"kind": "capture_next"})
    assert page.of("command_error")[0].text == "capture_next(): this session was closed."


def test_look_inside_reaches_the_session_and_a_path_that_is_not_there_is_said(
    session: FakeSession, page: Page, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = greeted(session, page, hand)
    link.handle({"kind": "look_inside", "fqn": "conv1", "call": 1})
    link.handle({"kind": "look_inside", "fqn": ""})
    assert session.looked_into == [("conv1", 1), ("", 0)]

    def unknown(fqn: str, call: int) -> None:
        raise UnknownAddress(f"look_inside({fqn!r}): no module of that path.")

    monkeypatch.setattr(session, "look_inside", unknown)
    link.handle({"kind": "look_inside", "fqn": "__class__"})
    assert page.of("command_error")[0].text == "look_inside('__class__'): no module of that path."


def test_trainer_commands_reach_the_training(session: FakeSession, page: Page, hand: Hand) -> None:
    training = FakeTraining(session)
    link = greeted(session, page, hand)
    assert page.of("trainer_status") == [training.status()]
    for command in (
        {"kind": "trainer_start", "settings": {"lr": 0.5}},
        {"kind": "trainer_start"},
        {"kind": "trainer_pause"},
        {"kind": "trainer_step"},
        {"kind": "trainer_set", "lr": 0.25},
        {"kind": "trainer_stop"},
    ):
        link.handle(command)
    assert page.of("command_error") == []
    assert training.told == [
        ("start", {"lr": 0.5}), ("start", {}), ("pause",), ("step",), ("set_lr", 0.25), ("stop",),
    ]  # fmt: skip


def test_a_restart_does_not_keep_the_page_waiting(session: FakeSession, page: Page, hand: Hand) -> None:
    training = FakeTraining(session)
    link = greeted(session, page, hand)
    go_on = threading.Event()
    told = threading.Event()

    def slow() -> None:
        assert go_on.wait(5)
        told.set()

    training.restart = slow  # type: ignore[method-assign]
    link.handle({"kind": "trainer_restart"})
    assert not told.is_set(), "answered while the batch under way is not done"
    go_on.set()
    assert told.wait(5)


def test_samples_are_sent_once_each_and_not_for_a_glance(
    session: FakeSession, page: Page, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "STATUS_SECONDS", 0.0)
    training = FakeTraining(session)
    greeted(session, page, hand)
    assert page.of("trainer_samples") == []

    def samples(step: int) -> TrainerSamples:
        return TrainerSamples(
            step=step, size=(1, 1, 2, 1), pixels=np.array([0, 255], np.uint8), label=np.array([3], np.int32),
            predicted=np.array([5], np.int32), confidence=np.array([0.75]),
        )  # fmt: skip

    glance = Page()
    Link(session, glance.send, publisher=hand, extent=GLANCE).handle({"kind": "hello"})
    for step in (4, 5):
        training._samples = samples(step)
        hand.turn()
        hand.turn()
    assert [(found.step, found.pixels.tolist(), found.label[0]) for found in page.of("trainer_samples")] == [
        (4, [0, 255], 3), (5, [0, 255], 3),
    ]  # fmt: skip
    assert glance.of("trainer_samples") == [] and glance.of("trainer_status")


@pytest.mark.parametrize("shown", ["training", "session"])
def test_a_training_that_starts_again_shows_its_new_session(page: Page, hand: Hand, shown: str) -> None:
    first, second = FakeSession("Cnn-1"), FakeSession("Cnn-2")
    training = FakeTraining(first)
    greeted(training if shown == "training" else first, page, hand)
    assert [header.name for header in page.of("run_header")] == ["Cnn-1"]
    second.feed(step_batch(0))
    training.session = second
    hand.turn()
    assert [header.name for header in page.of("run_header")] == ["Cnn-1", "Cnn-2"]
    assert page.of("session_status")[-1].name == "Cnn-2"
    assert first.subscribers == [] and len(second.subscribers) == 1


def test_an_earlier_session_of_a_training_stays_what_is_shown(page: Page, hand: Hand) -> None:
    first, second = FakeSession("Cnn-1"), FakeSession("Cnn-2")
    training = FakeTraining(first)
    training.session = second
    greeted(first, page, hand)
    hand.turn()
    assert [header.name for header in page.of("run_header")] == ["Cnn-1"]


def test_a_training_before_its_start_shows_its_controls(page: Page, hand: Hand, session: FakeSession) -> None:
    training = FakeTraining(session)
    training.session = None  # type: ignore[assignment]
    greeted(training, page, hand)
    assert page.kinds() == ["trainer_status"]
    training.session = session
    hand.turn()
    assert page.of("run_header")[0].name == "Cnn-1"


def test_a_graph_alone_is_sent_and_nothing_else(session: FakeSession, page: Page, hand: Hand) -> None:
    link = greeted(session.graph, page, hand)
    (record,) = page.records
    assert Graph.from_record(record).modules == session.graph.modules
    link.handle({"kind": "look", "step": 0})
    assert "a graph alone" in page.of("command_error")[0].text


def test_a_run_read_from_a_file_needs_no_session(session: FakeSession, page: Page, hand: Hand) -> None:
    session.feed(step_batch(4))
    link = greeted(session.run, page, hand)
    assert [record.step for record in page.of("step_stats")] == [4]
    assert page.of("session_status") == []
    link.handle({"kind": "capture_next"})
    assert "only a live session" in page.of("command_error")[0].text


def test_a_run_of_several_ranks_is_shown_merged_or_one_of_them(page: Page, hand: Hand, tmp_path: Path) -> None:
    write_rank(tmp_path, 0, range(3))
    write_rank(tmp_path, 1, range(5), closed=False)
    link = greeted(load(tmp_path), page, hand)
    (ranks,) = page.of("run_ranks")
    assert (ranks.shown, list(ranks.rank), list(ranks.last_step)) == (None, [0, 1], [2, 4])
    assert list(ranks.finished) == [True, False]
    assert [record.scalars["loss"] for record in page.of("step")] == [0.0, 1.0, 2.0], "of the lowest rank"
    assert page.kinds()[0] == "run_ranks"

    before = len(page.of("step"))
    link.handle({"kind": "show_rank", "rank": 1})
    hand.turn()
    assert page.of("run_ranks")[-1].shown == 1
    assert [record.scalars["loss"] for record in page.of("step")[before:]] == [10.0, 11.0, 12.0, 13.0, 14.0]
    link.handle({"kind": "show_rank", "rank": 7})
    assert "run.rank(7)" in page.of("command_error")[-1].text
    link.handle({"kind": "show_rank", "rank": -1})
    hand.turn()
    assert page.of("run_ranks")[-1].shown is None


def test_the_report_is_written_in_a_thread_of_its_own(
    session: FakeSession, page: Page, hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Any] = []

    def report(source: Any, path: Path) -> Path:
        written.append((source, path, threading.current_thread()))
        return path

    monkeypatch.setattr("graphscope.report", report, raising=False)
    session.run_dir = tmp_path  # type: ignore[attr-defined]
    link = greeted(session, page, hand)
    link.handle({"kind": "save_report"})
    deadline = time.monotonic() + 5
    while not page.of("note") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert page.of("note")[0].text == f"Report written to {tmp_path / 'report.html'}"
    assert written[0][:2] == (session, tmp_path / "report.html")
    assert written[0][2] is not threading.current_thread()


def test_a_page_that_left_gets_nothing_until_it_is_back(session: FakeSession, page: Page, hand: Hand) -> None:
    """Jupyter keeps what is sent to nobody: a night of training would fill its memory."""
    link = greeted(session, page, hand)
    server = threading.Thread(target=link.handle, args=({"kind": "ping", "request": 1},))
    server.start()
    server.join()
    link._heard -= 1000
    hand.now = time.monotonic() + 10
    before = len(page.messages)
    for step in range(5):
        session.feed(step_batch(step))
    assert hand.turn() == 0 and len(page.messages) == before
    link.handle({"kind": "ping", "request": 2})
    hand.turn()
    assert [record.step for record in page.of("step")] == list(range(5))


def test_a_closed_link_sends_nothing_and_follows_nothing(session: FakeSession, page: Page, hand: Hand) -> None:
    link = greeted(session, page, hand)
    link.close()
    before = len(page.messages)
    session.feed(step_batch(0))
    link.handle({"kind": "ping", "request": 1})
    assert hand.turn() == 0 and len(page.messages) == before
    assert session.subscribers == []


def test_a_real_publisher_sends_from_its_own_thread(session: FakeSession, page: Page) -> None:
    publisher = Publisher()
    link = Link(session, page.send, publisher=publisher)
    link.handle({"kind": "hello"})
    session.feed(step_batch(0))
    deadline = time.monotonic() + 3
    while not page.of("step") and time.monotonic() < deadline:
        time.sleep(0.01)
    link.close()
    assert [record.step for record in page.of("step")] == [0]
    assert page.threads == {"graphscope-publisher"}


def test_every_command_has_one_place_that_serves_it() -> None:
    assert set(HANDLERS) | {ListKernel, Open} == set(COMMANDS)
