"""Bounded reading of hostile files."""

from __future__ import annotations

import gzip
import os

import pytest

from graphscope.errors import DataError
from graphscope.trainer.data.bounded import gunzip, read_file


def test_a_file_is_read_up_to_its_limit(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_file(path, 5) == b"12345"
    with pytest.raises(DataError, match="5 bytes; wanted at most 4"):
        read_file(path, 4)


def test_a_sparse_file_of_a_terabyte_is_refused_at_once(tmp_path):
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="wanted at most"):
        read_file(path, 1 << 20)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_named_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        read_file(tmp_path / "pipe", 10)


def test_what_is_missing_or_a_folder_is_said(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        read_file(tmp_path / "none", 10)
    with pytest.raises(DataError, match="directory|regular"):
        read_file(tmp_path, 1 << 20)


def test_gzip_is_unpacked_up_to_its_limit():
    packed = gzip.compress(b"x" * 1000)
    assert gunzip(packed, 1000, "a") == b"x" * 1000
    with pytest.raises(DataError, match="a: unpacks to more than 999 bytes"):
        gunzip(packed, 999, "a")


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-6], lambda b: b"no gzip at all", lambda b: b[:12] + b"\0\0\0" + b[15:]]
)
def test_a_damaged_gzip_is_an_error_of_ours(damage):
    with pytest.raises(DataError, match="damaged gzip"):
        gunzip(damage(gzip.compress(bytes(range(256)) * 9)), 10_000, "a")
