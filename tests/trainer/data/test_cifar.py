"""The CIFAR reader: layouts, archives and hostile archives."""

from __future__ import annotations

import gzip
import io
import tarfile

import numpy as np
import pytest

from graphscope.errors import DataError
from graphscope.trainer.data.cifar import CIFAR10, CIFAR100, PIXELS, image_set, unpacked


def records(count: int, label_bytes: int, classes: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 256, (count, label_bytes + PIXELS)).astype(np.uint8)
    table[:, :label_bytes] = rng.integers(0, classes, (count, label_bytes))
    return table


def archive(files: dict[str, bytes], folder: str = "cifar-10-batches-bin") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def cifar10_files() -> dict[str, bytes]:
    return {name: records(4, 1, 10, seed).tobytes() for seed, name in enumerate(CIFAR10.members)}


def test_records_become_images_and_labels():
    data = image_set(CIFAR10, cifar10_files(), "test")
    assert data.train_images.shape == (20, 3, 32, 32) and data.test_images.shape == (4, 3, 32, 32)
    second = records(4, 1, 10, seed=1)  # data_batch_2.bin
    assert data.train_labels[4:8].tolist() == second[:, 0].tolist()
    np.testing.assert_array_equal(data.train_images[5, 2].numpy().ravel(), second[1, 1 + 2048 :])  # blue plane
    assert data.augmented


def test_cifar100_takes_the_fine_label():
    table = records(6, 2, 20)
    table[:, 1] = [99, 0, 5, 7, 42, 98]
    data = image_set(CIFAR100, {"train.bin": table.tobytes(), "test.bin": table.tobytes()}, "test")
    assert data.train_labels.tolist() == [99, 0, 5, 7, 42, 98]
    np.testing.assert_array_equal(data.train_images[0, 0].numpy().ravel(), table[0, 2 : 2 + 1024])


def test_the_class_names_are_the_official_ones():
    assert len(CIFAR100.classes) == len(set(CIFAR100.classes)) == 100
    assert list(CIFAR100.classes) == sorted(CIFAR100.classes)  # the official order is the alphabet's
    assert (CIFAR100.classes[0], CIFAR100.classes[47], CIFAR100.classes[99]) == ("apple", "maple_tree", "worm")
    assert list(CIFAR10.classes) == sorted(CIFAR10.classes)


def test_an_archive_gives_its_files_and_nothing_else():
    files = cifar10_files()
    extra = {"batches.meta.txt": b"airplane\n", "readme.html": b"<b>", "../../evil": b"x", "data_batch_9.bin": b"y"}
    assert unpacked(archive(files | extra), CIFAR10, "a.tar.gz") == files


def test_a_link_named_as_a_file_is_not_followed():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        link = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(DataError, match="lacks .*test_batch"):
        unpacked(out.getvalue(), CIFAR10, "a.tar.gz")


def test_hostile_and_damaged_archives_are_refused():
    good = archive(cifar10_files())
    with pytest.raises(DataError, match="lacks data_batch_2"):
        unpacked(archive({"data_batch_1.bin": b""}), CIFAR10, "a")
    with pytest.raises(DataError, match="damaged"):
        unpacked(good[: len(good) // 2], CIFAR10, "a")
    with pytest.raises(DataError, match="damaged"):
        unpacked(b"no archive", CIFAR10, "a")
    with pytest.raises(DataError, match="more than 64 members"):
        unpacked(archive({str(i): b"" for i in range(100)}), CIFAR10, "a")
    bomb = gzip.compress(tarfile.TarInfo("bomb").tobuf() + bytes(1 << 20))
    with pytest.raises(DataError):
        unpacked(bomb, CIFAR10, "a")


def test_a_member_that_unpacks_to_too_much_stops_the_reading():
    big = tarfile.TarInfo("big")
    big.size = 1 << 40
    zeros = gzip.compress(bytes(1 << 24), compresslevel=1) * 30  # gzip members add up: 480 MB from a few hundred KB
    with pytest.raises(DataError, match="unpacks to more than"):
        unpacked(gzip.compress(big.tobuf()) + zeros, CIFAR10, "a")


def test_half_a_record_and_a_wrong_label_are_refused():
    files = cifar10_files()
    with pytest.raises(DataError, match=r"test_batch\.bin: 3,000 bytes; wanted a multiple of 3073"):
        image_set(CIFAR10, files | {"test_batch.bin": bytes(3000)}, "test")
    table = records(2, 1, 10)
    table[1, 0] = 10
    with pytest.raises(DataError, match="holds label 10; wanted 0 to 9"):
        image_set(CIFAR10, files | {"test_batch.bin": table.tobytes()}, "test")
