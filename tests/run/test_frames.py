"""Frames are TFRecord's, and damage costs only the frames it touches."""

from __future__ import annotations

import random
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphscope.run.frames import HEAD, MAX_PAYLOAD, TAIL, Split, frame, masked_crc, split

PAYLOADS = [bytes([i]) * (20 + 13 * i) for i in range(1, 9)]


def crc32c_by_the_book(data: bytes) -> int:
    """Castagnoli, bit by bit, reflected polynomial 0x82F63B78 (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def payloads_of(found: Split) -> list[bytes]:
    return [payload for _, payload in found.payloads]


def test_checksums_are_masked_crc32c() -> None:
    assert crc32c_by_the_book(bytes(32)) == 0x8A9136AA, "RFC 3720, appendix B.4: 32 bytes of zeros"
    for data in (b"", bytes(32), b"123456789", bytes(range(200))):
        crc = crc32c_by_the_book(data)
        assert masked_crc(data) == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def test_a_frame_is_length_checksum_payload_checksum() -> None:
    payload = b"0123456789abc"
    made = frame(payload)
    length, length_crc = struct.unpack_from("<QI", made)
    assert (length, length_crc) == (13, masked_crc(struct.pack("<Q", 13)))
    assert made[HEAD:-TAIL] == payload and struct.unpack("<I", made[-TAIL:])[0] == masked_crc(payload)


def test_whole_frames_come_back_with_their_offsets() -> None:
    data = b"".join(map(frame, PAYLOADS))
    found = split(data)
    assert payloads_of(found) == PAYLOADS and found.next == len(data)
    assert (found.damage, found.lost, found.needed) == (0, False, 0)
    assert all(data[at:].startswith(frame(payload)) for at, payload in found.payloads)


@given(st.lists(st.integers(1, 400), max_size=8))
@settings(max_examples=60)
def test_a_growing_buffer_yields_every_frame_once(cuts: list[int]) -> None:
    data = b"".join(map(frame, PAYLOADS))
    seen, position, end = [], 0, 0
    for step in [*cuts, len(data)]:
        end = min(end + step, len(data))
        found = split(data[position:end])
        seen += payloads_of(found)
        position += found.next
        assert found.damage == 0
        assert found.needed == 0 or found.needed > end - position
    assert seen == PAYLOADS


def test_every_single_flipped_bit_costs_one_frame_and_never_gives_another_value() -> None:
    data = b"".join(map(frame, PAYLOADS[:4]))
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 << (at % 8)
        found = split(bytes(damaged), final=True)
        good = payloads_of(found)
        assert set(good) < set(PAYLOADS[:4]) and len(good) == 3, at
        assert found.damage == 1, at


def test_every_truncation_keeps_the_prefix() -> None:
    data = b"".join(map(frame, PAYLOADS))
    ends = [0]
    for payload in PAYLOADS:
        ends.append(ends[-1] + len(frame(payload)))
    for cut in range(len(data)):
        found = split(data[:cut], final=True)
        whole = sum(end <= cut for end in ends) - 1
        assert payloads_of(found) == PAYLOADS[:whole] and found.next == ends[whole] and found.damage == 0


def test_every_cut_out_stretch_costs_at_most_the_frames_it_touches() -> None:
    chance = random.Random(0)
    data = b"".join(map(frame, PAYLOADS))
    for _ in range(300):
        start, end = sorted(chance.sample(range(len(data)), 2))
        found = split(data[:start] + data[end:], final=True)
        at, untouched = 0, []
        for payload in PAYLOADS:
            after = at + len(frame(payload))
            if after <= start or at >= end:
                untouched.append(payload)
            at = after
        assert payloads_of(found) == untouched


@pytest.mark.parametrize("junk", [bytes(5000), b"\xff" * 5000, bytes(range(256)) * 20, b"\x0a" + bytes(11)])
def test_junk_between_frames_is_one_damage(junk: bytes) -> None:
    found = split(frame(PAYLOADS[0]) + junk + frame(PAYLOADS[1]) + frame(PAYLOADS[2]))
    assert payloads_of(found) == PAYLOADS[:3] and found.damage == 1


def test_a_damaged_place_that_spans_two_reads_is_counted_once() -> None:
    data = bytes(1000) + frame(PAYLOADS[0])
    first = split(data[:500])
    assert first.damage == 1 and first.lost and not first.payloads
    second = split(data[first.next :], lost=True)
    assert second.damage == 0 and payloads_of(second) == [PAYLOADS[0]]


def test_a_torn_frame_with_whole_ones_behind_it_is_damage_once_nothing_more_comes() -> None:
    torn = frame(b"t" * 4000)[:100] + frame(PAYLOADS[0])
    waiting = split(torn)
    assert waiting.damage == 0 and waiting.needed == HEAD + 4000 + TAIL
    final = split(torn, final=True)
    assert final.damage == 1 and payloads_of(final) == [PAYLOADS[0]]


def test_a_length_beyond_the_limit_is_damage_although_its_checksum_fits() -> None:
    length = struct.pack("<Q", MAX_PAYLOAD + 1)
    bomb = length + struct.pack("<I", masked_crc(length))
    found = split(bomb + frame(PAYLOADS[0]))
    assert found.damage == 1 and payloads_of(found) == [PAYLOADS[0]]


def test_looking_for_the_next_frame_is_quick() -> None:
    hostile = (b"\x20" + bytes(7)) * (1 << 20)  # 8 MiB in which every eighth byte looks like a length
    begun = time.perf_counter()
    found = split(hostile + frame(PAYLOADS[0]))
    assert payloads_of(found) == [PAYLOADS[0]]
    assert time.perf_counter() - begun < 5
