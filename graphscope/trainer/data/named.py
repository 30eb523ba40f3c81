"""A data set's name -> ImageSet. The list of names with their descriptions is ``settings.DATASETS``.

Where files come from: the folder the user names (``data_dir``, or GRAPHSCOPE_DATA if it holds this data set), else the
user's cache, else a download into it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from graphscope.errors import UnknownName
from graphscope.trainer.data import cifar, idx, own_copy, sources
from graphscope.trainer.data.digits import digits
from graphscope.trainer.data.fetch import official_files
from graphscope.trainer.data.images import ImageSet
from graphscope.trainer.data.shapes import shapes
from graphscope.trainer.data.sources import CIFAR_MEMBERS, Source

CLOTHES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
VERIFIED = "sha256 checked"


def mnist(data_dir: str | None = None, source: Source = sources.MNIST) -> ImageSet:
    """Handwritten digits. Source: LeCun, Cortes, Burges, 1998."""
    places = ("", "mnist", "MNIST", "MNIST/raw", "mnist/MNIST/raw")  # torchvision's folders among them
    files, provenance = _idx_files(source, data_dir, places)
    return idx.image_set("mnist", files, classes=tuple("0123456789"), mean=0.1307, std=0.3081, provenance=provenance)


def fashion_mnist(data_dir: str | None = None, source: Source = sources.FASHION_MNIST) -> ImageSet:
    """Pictures of clothes. Source: Xiao, Rasul, Vollgraf, 2017."""
    # Not the folder itself: its files are named as MNIST's.
    places = ("fashion-mnist", "fashion", "FashionMNIST", "FashionMNIST/raw", "fashion-mnist/FashionMNIST/raw")
    files, provenance = _idx_files(source, data_dir, places)
    return idx.image_set("fashion-mnist", files, classes=CLOTHES, mean=0.2860, std=0.3530, provenance=provenance)


def cifar10(data_dir: str | None = None, source: Source = sources.CIFAR10) -> ImageSet:
    """Photographs of 10 kinds. Source: Krizhevsky, 2009."""
    return _cifar(cifar.CIFAR10, source, data_dir)


def cifar100(data_dir: str | None = None, source: Source = sources.CIFAR100) -> ImageSet:
    """Photographs of 100 kinds. Source: Krizhevsky, 2009."""
    return _cifar(cifar.CIFAR100, source, data_dir)


# Each loader takes the folder of the user's own copy; the two that need no file ignore it.
LOADERS: dict[str, Callable[[str | None], ImageSet]] = {
    "digits": lambda _: digits(),
    "shapes": lambda _: shapes(),
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
    "cifar10": cifar10,
    "cifar100": cifar100,
}


def named(name: str, data_dir: str | None = None) -> ImageSet:
    """The data set called ``name``.

    Raises: UnknownName, or DataError if it cannot be had or is damaged.
    """
    if name not in LOADERS:
        raise UnknownName(f"named({name!r}): no data set is called that. There are: {', '.join(LOADERS)}.")
    return LOADERS[name](data_dir)


def _idx_files(source: Source, data_dir: str | None, places: tuple[str, ...]) -> tuple[dict[str, bytes], str]:
    names = [file.name for file in source.files]
    either = names + [name.removesuffix(".gz") for name in names]
    folder = _own_folder(source.name, data_dir, either, places)
    if folder is None:
        return official_files(source), VERIFIED
    files = own_copy.read(folder, names, most=1 << 30, also=".gz")
    return files, own_copy.provenance(folder, files, {file.name: file.sha256 for file in source.files})


def _cifar(layout: cifar.Layout, source: Source, data_dir: str | None) -> ImageSet:
    (archive,) = source.files
    places = ("", layout.folder, source.name, f"{source.name}/{layout.folder}")
    folder = _own_folder(source.name, data_dir, [*layout.members, archive.name], places)
    if folder is None:
        data = official_files(source)[archive.name]
        return cifar.image_set(layout, cifar.unpacked(data, layout, archive.name), VERIFIED)
    if not any((folder / member).exists() for member in layout.members):
        packed = own_copy.read(folder, [archive.name], most=2 * archive.size)
        provenance = own_copy.provenance(folder, packed, {archive.name: archive.sha256})
        return cifar.image_set(layout, cifar.unpacked(packed[archive.name], layout, archive.name), provenance)
    files = own_copy.read(folder, layout.members, layout.most)
    return cifar.image_set(layout, files, own_copy.provenance(folder, files, CIFAR_MEMBERS))


def _own_folder(name: str, data_dir: str | None, files: list[str], places: tuple[str, ...]) -> Path | None:
    """Where the user's own copy lies; None to use the cache.

    Raises: DataError if ``data_dir`` was given and holds none. GRAPHSCOPE_DATA may lack a data set: it is one folder
    for all of them.
    """
    given = data_dir or os.environ.get("GRAPHSCOPE_DATA")
    if not given:
        return None
    folder = Path(given).expanduser()
    found = own_copy.find(folder, files, places)
    if found is None and data_dir:
        raise own_copy.missing(name, folder, files[:6])
    return found
