"""The IDX reader, against bytes written by hand and against the real MNIST."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from graphscope.errors import DataError
from graphscope.trainer.data.idx import image_set, parse_idx


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def four_files(train: int = 12, test: int = 5, **replaced: bytes) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    files = {}
    for split, count in (("train", train), ("t10k", test)):
        files[f"{split}-images-idx3-ubyte.gz"] = idx(rng.integers(0, 256, (count, 28, 28)))
        files[f"{split}-labels-idx1-ubyte.gz"] = idx(rng.integers(0, 10, count))
    return files | replaced


def as_set(files: dict[str, bytes]):
    return image_set("mnist", files, classes=tuple("0123456789"), mean=0.1, std=0.3, provenance="test")


def test_an_array_comes_back_packed_or_not():
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(parse_idx(idx(array), 3, "a"), array)
    np.testing.assert_array_equal(parse_idx(gzip.compress(idx(array)), 3, "a"), array)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "begins with"),
        (b"<html>404</html>", "begins with 3c 68 74 6d; wanted 00 00 08 03"),
        (idx(np.zeros((2, 2))), "00 00 08 02"),
        (struct.pack(">BBBB3I", 0, 0, 13, 3, 1, 1, 1) + bytes(4), "00 00 0d 03"),  # floats
        (idx(np.zeros((2, 3, 4)))[:-1], "promises 2x3x4 bytes, and 23 follow"),
        (idx(np.zeros((2, 3, 4))) + b"!", "and 25 follow"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, *[2**32 - 1] * 3), "and 0 follow"),
    ],
)
def test_other_bytes_are_refused_with_what_was_found(data, words):
    with pytest.raises(DataError, match=words) as error:
        parse_idx(data, 3, "train-images")
    assert str(error.value).startswith("train-images:")


def test_four_files_make_a_set():
    data = as_set(four_files())
    assert data.train_images.shape == (12, 1, 28, 28) and data.test_labels.shape == (5,)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(data.train_images[:, 0].numpy(), rng.integers(0, 256, (12, 28, 28)))
    np.testing.assert_array_equal(data.train_labels.numpy(), rng.integers(0, 10, 12))


def test_files_that_do_not_belong_together_are_refused():
    with pytest.raises(DataError, match="11 labels for the 12 images"):
        as_set(four_files(**{"train-labels-idx1-ubyte.gz": idx(np.zeros(11))}))
    with pytest.raises(DataError, match="holds label 10; wanted 0 to 9"):
        as_set(four_files(**{"t10k-labels-idx1-ubyte.gz": idx(np.full(5, 10))}))
    with pytest.raises(DataError, match="12x32x32; wanted Nx28x28"):
        as_set(four_files(**{"train-images-idx3-ubyte.gz": idx(np.zeros((12, 32, 32)))}))
    with pytest.raises(DataError, match="wanted Nx28x28"):
        as_set(four_files(train=0))
