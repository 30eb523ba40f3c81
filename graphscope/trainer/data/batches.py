"""Images in memory, or a user's DataLoader -> batches of (inputs, targets) on the device.

The named sets are indexed batch by batch instead of going through a DataLoader: one gather in place of 64 calls of
``__getitem__`` and a collate. Order and augmentation depend on (seed, epoch, batch) alone, so a run can be taken up
again in the middle of an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, IterableDataset

from graphscope.errors import DataError
from graphscope.trainer.data.images import ImageSet, cropped_and_flipped, scale_and_shift, scaled
from graphscope.trainer.distributed import ALONE, Ranks

Batch = tuple[Tensor, Tensor]
MAX_FLOATS = 256 << 20
"""Bytes of training images as floats up to which they are normalised once and not in each batch: MNIST needs 188 MB."""


class Batches(Protocol):
    """What the loop asks of data."""

    test_is_a_share: bool
    """Whether ``test`` gives this process's part of the test images; else every process sees all of them."""

    @property
    def train_images(self) -> int | None:
        """Training inputs; None if only iterating tells."""

    @property
    def test_images(self) -> int | None:
        """Test inputs; None if there are none, or only iterating tells."""

    @property
    def per_epoch(self) -> int | None:
        """Batches of one process in one epoch; None if only iterating tells."""

    def train(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """This process's batches of one epoch, from batch ``start`` on."""

    def test(self) -> Iterator[Batch]:
        """The test images, once, always in the same order."""


def derived_seed(*parts: int) -> int:
    """Whole numbers -> one seed; near inputs give unrelated seeds (splitmix64)."""
    state = 0
    for part in parts:
        state = (state ^ part) + 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        state = (state ^ state >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        state ^= state >> 31
    return state >> 1


class ImageBatches:
    """An ImageSet on a device, shuffled anew for each epoch."""

    def __init__(
        self,
        images: ImageSet,
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
        augment: bool = True,
        ranks: Ranks = ALONE,
    ) -> None:
        self.images = images
        self.ranks = ranks
        self.batch_size = batch_size
        self.seed = seed
        self.device = device
        self.augment = augment and images.augmented
        self.train_images = len(images.train_labels)
        self.test_images = len(images.test_labels)
        self.per_epoch = math.ceil(math.ceil(self.train_images / ranks.world_size) / batch_size)
        self.test_is_a_share = ranks.several and self.test_images >= ranks.world_size
        mean, std = torch.tensor(images.mean, device=device), torch.tensor(images.std, device=device)
        self._scale, self._shift = scale_and_shift(mean, std)
        self._train_x, self._train_y = images.train_images.to(device), images.train_labels.to(device)
        self._test_x, self._test_y = images.test_images.to(device), images.test_labels.to(device)
        if not self.augment and 4 * self._train_x.numel() <= MAX_FLOATS:
            self._train_x = scaled(self._train_x, self._scale, self._shift)

    def train(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(derived_seed(self.seed, epoch))
        order = self.ranks.share(torch.randperm(self.train_images, generator=generator)).to(self.device)
        for batch, index in enumerate(order.split(self.batch_size)[start:], start):
            x = self._train_x[index]
            if self.augment:
                number = batch * self.ranks.world_size + self.ranks.rank
                x = cropped_and_flipped(x, generator.manual_seed(derived_seed(self.seed, epoch, number)))
            yield x if x.is_floating_point() else scaled(x, self._scale, self._shift), self._train_y[index]

    def test(self) -> Iterator[Batch]:
        if not self.test_images:
            return  # split() would give one batch without images
        size = max(self.batch_size, 256)
        share = slice(self.ranks.rank, None, self.ranks.world_size) if self.test_is_a_share else slice(None)
        for x, y in zip(self._test_x[share].split(size), self._test_y[share].split(size), strict=True):
            yield scaled(x, self._scale, self._shift), y


class LoaderBatches:
    """A user's DataLoaders: their own order, workers and collate; with several processes, their own sharing too."""

    test_is_a_share = False

    def __init__(self, train: DataLoader[Any], test: DataLoader[Any] | None, device: torch.device) -> None:
        self._train, self._test, self.device = train, test, device
        self.train_images, self.test_images = _length(train.dataset), None if test is None else _length(test.dataset)
        self.per_epoch = None if isinstance(train.dataset, IterableDataset) else len(train)

    def train(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        if isinstance(self._train.sampler, DistributedSampler):
            self._train.sampler.set_epoch(epoch)
        for number, item in enumerate(self._train):
            if number >= start:
                yield self._pair(item)

    def test(self) -> Iterator[Batch]:
        for item in self._test if self._test is not None else ():
            yield self._pair(item)

    def _pair(self, item: object) -> Batch:
        if not (isinstance(item, (tuple, list)) and len(item) == 2 and all(isinstance(part, Tensor) for part in item)):
            parts = f" of {[type(part).__name__ for part in item]}" if isinstance(item, (tuple, list)) else ""
            raise DataError(
                f"Trainer(data=...): a batch of the data is a {type(item).__name__}{parts}; "
                "wanted a pair of tensors (inputs, targets). Give the DataLoader a collate_fn that returns such pairs."
            )
        x, y = item
        return x.to(self.device, non_blocking=True), y.to(self.device, non_blocking=True)


def loader_for(
    dataset: Dataset[Any], *, batch_size: int, seed: int, workers: int, shuffle: bool, ranks: Ranks = ALONE
) -> DataLoader[Any]:
    """A user's Dataset -> the DataLoader one would write for it; shuffled by its own generator, and shared."""
    shuffle = shuffle and not isinstance(dataset, IterableDataset)
    sampler: DistributedSampler[Any] | None = None
    if shuffle and ranks.several:
        shuffle = False
        sampler = DistributedSampler(dataset, ranks.world_size, ranks.rank, seed=derived_seed(seed, 0) % 2**31)
    generator = torch.Generator().manual_seed(derived_seed(seed, 0))
    return DataLoader(
        dataset, batch_size=batch_size, shuffle=shuffle, sampler=sampler, num_workers=workers, generator=generator
    )


def _length(dataset: object) -> int | None:
    return len(dataset) if isinstance(dataset, Sized) else None
