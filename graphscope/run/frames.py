"""Payloads <-> TFRecord frames: length, its checksum, payload, its checksum; damaged bytes are left out and counted.

A frame is u64 length, masked crc32c of those 8 bytes, payload, masked crc32c of the payload, all little-endian.
Source: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details. The checksum of the length
is what lets a reader find the next frame behind damage.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import google_crc32c
import numpy as np

MAX_PAYLOAD = 64 << 20
"""Longest payload, in bytes; a longer length is damage."""
MIN_PAYLOAD = 10
"""Shortest safetensors blob; a file full of zeros holds no frames."""
HEAD, TAIL = 12, 4
_SCAN = 1 << 20
_MASK = 0xA282EAD8


def masked_crc(data: bytes) -> int:
    """crc32c (Castagnoli), rotated and offset as TFRecord does, so that a crc over crcs stays strong."""
    crc = int(google_crc32c.value(data))
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF


def frame(payload: bytes) -> bytes:
    """One payload -> its frame."""
    length = struct.pack("<Q", len(payload))
    head = length + struct.pack("<I", masked_crc(length))
    return b"".join((head, payload, struct.pack("<I", masked_crc(payload))))


@dataclass(slots=True)
class Split:
    """What a buffer holds."""

    payloads: list[tuple[int, bytes]] = field(default_factory=list)
    """(offset of the frame, payload), checksums verified."""
    next: int = 0
    """Where to go on once there are more bytes."""
    damage: int = 0
    """Damaged places found: each one a stretch of bytes that is no frame."""
    lost: bool = False
    """Whether ``next`` lies inside a damaged place; give it back to the next call."""
    needed: int = 0
    """Bytes from ``next`` on that the unfinished frame there takes; 0 if none is known."""


def split(buffer: bytes, start: int = 0, *, lost: bool = False, final: bool = False) -> Split:
    """Bytes -> the good payloads in them.

    An unfinished frame at the end is waited for; with ``final`` (nothing more will come) whole frames behind it are
    looked for, which a writer leaves that was cut off and went on.
    """
    found = Split(next=start, lost=lost)
    while True:
        if found.lost:
            at = _next_head(buffer, found.next)
            if at is None:
                found.next = max(found.next, len(buffer) - HEAD + 1)
                return found
            found.next, found.lost = at, False
        if len(buffer) - found.next < HEAD:
            return found
        length = _length_at(buffer, found.next)
        if length is None:
            found.damage, found.lost, found.next = found.damage + 1, True, found.next + 1
            continue
        end = found.next + HEAD + length + TAIL
        if end > len(buffer):
            if not final or not _whole_frame_behind(buffer, found.next + 1):
                found.needed = end - found.next
                return found
            found.damage, found.lost, found.next = found.damage + 1, True, found.next + 1
            continue
        payload = buffer[found.next + HEAD : end - TAIL]
        if masked_crc(payload) != struct.unpack_from("<I", buffer, end - TAIL)[0]:
            # Not simply on behind it: bytes may have been cut out, and then its end lies inside a later frame.
            found.damage, found.lost, found.next = found.damage + 1, True, found.next + 1
            continue
        found.payloads.append((found.next, payload))
        found.next = end


def _length_at(buffer: bytes, at: int) -> int | None:
    """Length of the frame that begins there, or None where none does."""
    length, checksum = struct.unpack_from("<QI", buffer, at)
    if not MIN_PAYLOAD <= length <= MAX_PAYLOAD or masked_crc(buffer[at : at + 8]) != checksum:
        return None
    return int(length)


def _whole_frame_behind(buffer: bytes, start: int) -> bool:
    while (at := _next_head(buffer, start)) is not None:
        end = at + HEAD + (_length_at(buffer, at) or 0) + TAIL
        if end <= len(buffer):
            payload = buffer[at + HEAD : end - TAIL]
            if masked_crc(payload) == struct.unpack_from("<I", buffer, end - TAIL)[0]:
                return True
        start = at + 1
    return False


def _next_head(buffer: bytes, start: int) -> int | None:
    """First offset from ``start`` on where a length and its checksum agree."""
    tables, offset = _crc_tables()
    for begin in range(start, len(buffer) - HEAD + 1, _SCAN):
        part = np.frombuffer(buffer, np.uint8, min(_SCAN + HEAD - 1, len(buffer) - begin), begin)
        n = len(part) - HEAD + 1
        # A length up to 64 MiB has five empty high bytes; that leaves few places of which to take the checksum.
        plausible = part[3 : 3 + n] <= MAX_PAYLOAD >> 24
        for i in range(4, 8):
            plausible &= part[i : i + n] == 0
        plausible &= (part[:n] | part[1 : 1 + n] | part[2 : 2 + n] | part[3 : 3 + n]) != 0  # nor is it zero
        places = np.flatnonzero(plausible)
        crc = np.full(len(places), offset, np.uint32)
        for i in range(4):
            crc ^= tables[i][part[places + i]]
        masked = ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(_MASK)
        stored = np.zeros(len(places), np.uint32)
        for i in range(4):
            stored |= part[places + 8 + i].astype(np.uint32) << np.uint32(8 * i)
        for place in places[masked == stored].tolist():
            if _length_at(buffer, begin + place) is not None:
                return begin + int(place)
    return None


@lru_cache(maxsize=1)
def _crc_tables() -> tuple[list[np.ndarray[Any, Any]], int]:
    """crc32c of 8 bytes is linear: the crc of zeros, xor one table entry for each byte that is not zero."""
    zeros = int(google_crc32c.value(bytes(8)))
    tables = [
        np.array(
            [int(google_crc32c.value(bytes(i) + bytes([v]) + bytes(7 - i))) ^ zeros for v in range(256)], np.uint32
        )
        for i in range(4)
    ]
    return tables, zeros
