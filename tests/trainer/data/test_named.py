"""Data sets by name: the user's own folder, the cache, and the real MNIST and CIFAR-10."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graphscope.errors import DataError, UnknownName
from graphscope.trainer.data import named as module
from graphscope.trainer.data.images import ImageSet, channel_statistics
from graphscope.trainer.data.named import LOADERS, named
from graphscope.trainer.settings import DATASETS
from tests.trainer.data.test_cifar import archive, cifar10_files
from tests.trainer.data.test_idx import four_files


@pytest.fixture(autouse=True)
def nobody_downloads(monkeypatch):
    def refuse(source: object) -> dict[str, bytes]:
        raise AssertionError("a test asked the network")

    monkeypatch.setattr(module, "official_files", refuse)
    monkeypatch.delenv("GRAPHSCOPE_DATA", raising=False)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def test_the_menu_and_the_loaders_are_the_same_names_in_the_same_order():
    assert [name for name, _ in DATASETS] == list(LOADERS)
    with pytest.raises(UnknownName, match="cifar100"):
        named("svhn")


@pytest.mark.parametrize("place", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_mnist_is_found_in_the_users_folder_which_stays_as_it_was(tmp_path, place, packed):
    files = four_files()
    if not packed:
        files = {name.removesuffix(".gz"): data for name, data in files.items()}
    else:
        files = {name: gzip.compress(data) for name, data in files.items()}
    write(tmp_path / place, files)
    before = snapshot(tmp_path)
    data = named("mnist", str(tmp_path))
    assert len(data.train_labels) == 12 and str(tmp_path / place) in data.provenance
    assert data.check == "unverified: not the official checksums"
    assert snapshot(tmp_path) == before


def test_one_folder_for_all_sets_may_lack_one_of_them(tmp_path, monkeypatch):
    write(tmp_path / "mnist", four_files())
    monkeypatch.setenv("GRAPHSCOPE_DATA", str(tmp_path))
    assert len(named("mnist").train_labels) == 12
    with pytest.raises(AssertionError, match="network"):  # not there, so it would be fetched
        named("fashion-mnist")


def test_a_folder_that_was_named_and_holds_nothing_is_an_error(tmp_path):
    with pytest.raises(DataError, match="holds none of its files.*train-images"):
        named("mnist", str(tmp_path))
    with pytest.raises(DataError, match="is not a folder"):
        named("cifar10", str(tmp_path / "nowhere"))


def test_damage_in_the_users_folder_is_an_error_that_names_the_file(tmp_path):
    write(tmp_path, four_files(**{"t10k-labels-idx1-ubyte.gz": b"damaged"}))
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte"):
        named("mnist", str(tmp_path))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="t10k-labels-idx1-ubyte.gz: is missing"):
        named("mnist", str(tmp_path))


@pytest.mark.parametrize("place", ["", "cifar-10-batches-bin", "cifar10"])
def test_cifar_is_read_unpacked_or_as_the_archive(tmp_path, place):
    files = cifar10_files()
    write(tmp_path / "unpacked" / place, files)
    write(tmp_path / "packed" / place, {"cifar-10-binary.tar.gz": archive(files)})
    for kind in ("unpacked", "packed"):
        data = named("cifar10", str(tmp_path / kind))
        assert data.train_images.shape == (20, 3, 32, 32) and "unverified" in data.provenance


def assert_constants_are_those_of_the_training_images(data: ImageSet) -> None:
    mean, std = channel_statistics(data.train_images)
    np.testing.assert_allclose(data.mean, mean, atol=6e-5)
    np.testing.assert_allclose(data.std, std, atol=6e-5)


def test_the_real_mnist(shared_data):
    data = named("mnist", str(shared_data))
    assert data.check == "sha256 checked"
    assert (data.train_images.shape, data.test_images.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    assert np.bincount(data.train_labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert data.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert_constants_are_those_of_the_training_images(data)


@pytest.mark.slow
def test_the_real_cifar10(shared_data, tmp_path):
    script = shared_data / "cifar10" / "to_binary.py"
    if not script.exists():
        pytest.skip("no CIFAR-10 images")
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, env={**os.environ}, capture_output=True)
    data = named("cifar10", str(tmp_path))
    assert "unverified" in data.provenance  # real images, but they passed through JPEG
    assert (len(data.train_labels), len(data.test_labels)) == (50_000, 10_000)
    assert np.bincount(data.train_labels).tolist() == [5000] * 10
    mean, std = channel_statistics(data.train_images)
    np.testing.assert_allclose(data.mean, mean, atol=3e-3)
    np.testing.assert_allclose(data.std, std, atol=3e-3)


def test_checksums_are_computed_over_the_files_as_they_lie(shared_data):
    path = shared_data / "mnist" / "t10k-labels-idx1-ubyte.gz"
    assert hashlib.sha256(path.read_bytes()).hexdigest().startswith("f7ae60f92e00ec6d")
