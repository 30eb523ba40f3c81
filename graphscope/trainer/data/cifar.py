"""The binary version of CIFAR-10 and CIFAR-100 -> ImageSet.

The Python version is a pickle, which runs code when it is loaded; it is never touched. The archive is read as a
stream into memory, and nothing of it is written to disk.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009; record layout: the data sets' page.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass

import numpy as np
import torch

from graphscope.errors import DataError
from graphscope.trainer.data.bounded import Gunzipped
from graphscope.trainer.data.images import ImageSet

PIXELS = 3 * 32 * 32
MOST_RECORDS = 60_000
_MOST_MEMBERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which files of the archive hold what."""

    name: str
    folder: str
    """Of the archive."""
    train: tuple[str, ...]
    test: tuple[str, ...]
    label_bytes: int
    """Before the pixels of each record; the last of them is the label (CIFAR-100 has the coarse one first)."""
    classes: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def members(self) -> tuple[str, ...]:
        return self.train + self.test

    @property
    def most(self) -> int:
        """Bytes in the largest file there can be."""
        return MOST_RECORDS * (self.label_bytes + PIXELS)


CIFAR10 = Layout(
    name="cifar10",
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    test=("test_batch.bin",),
    label_bytes=1,
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
)

CIFAR100 = Layout(
    name="cifar100",
    folder="cifar-100-binary",
    train=("train.bin",),
    test=("test.bin",),
    label_bytes=2,
    classes=tuple(
        """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
        castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
        elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
        man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
        pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
        skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
        tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm""".split()  # noqa: SIM905
    ),
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)


def unpacked(archive: bytes, layout: Layout, name: str) -> dict[str, bytes]:
    """The bytes of a .tar.gz -> the files of the layout by their names; whatever else it holds is skipped.

    Raises: DataError if it is damaged, unpacks to too much, or lacks a file.
    """
    found: dict[str, bytes] = {}
    stream = Gunzipped(archive, 2 * MOST_RECORDS * (layout.label_bytes + PIXELS), name)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for number, member in enumerate(tar):
                if number >= _MOST_MEMBERS:
                    raise DataError(f"{name}: holds more than {_MOST_MEMBERS} members.")
                base = member.name.rsplit("/", 1)[-1]
                if member.isfile() and base in layout.members and member.size <= layout.most:
                    file = tar.extractfile(member)
                    assert file is not None, "isfile() was true"
                    found[base] = file.read(layout.most)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{name}: damaged tar archive: {error}.") from error
    missing = [member for member in layout.members if member not in found]
    if missing:
        raise DataError(f"{name}: lacks {', '.join(missing)}.")
    return found


def image_set(layout: Layout, files: dict[str, bytes], provenance: str) -> ImageSet:
    """The layout's files -> ImageSet. Raises: DataError if one is not whole records with labels in range."""
    train_images, train_labels = _records(layout, layout.train, files)
    test_images, test_labels = _records(layout, layout.test, files)
    return ImageSet(
        name=layout.name,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        classes=layout.classes,
        mean=layout.mean,
        std=layout.std,
        augmented=True,
        provenance=provenance,
    )


def _records(layout: Layout, names: tuple[str, ...], files: dict[str, bytes]) -> tuple[torch.Tensor, torch.Tensor]:
    """Record files -> images uint8 [N, 3, 32, 32], labels int64 [N]."""
    record = layout.label_bytes + PIXELS
    tables = []
    for name in names:
        data = files[name]
        if not data or len(data) % record:
            raise DataError(f"{name}: {len(data):,} bytes; wanted a multiple of {record}, one record per image.")
        table = np.frombuffer(data, dtype=np.uint8).reshape(-1, record)
        label = int(table[:, layout.label_bytes - 1].max())
        if label >= len(layout.classes):
            raise DataError(f"{name}: holds label {label}; wanted 0 to {len(layout.classes) - 1}.")
        tables.append(table)
    labels = np.concatenate([table[:, layout.label_bytes - 1] for table in tables]).astype(np.int64)
    images = np.concatenate([table[:, layout.label_bytes :] for table in tables]).reshape(-1, 3, 32, 32)
    return torch.from_numpy(images), torch.from_numpy(labels)
