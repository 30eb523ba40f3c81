"""IDX bytes -> numpy array; four such files -> ImageSet (MNIST and Fashion-MNIST).

Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits: file formats, at its page's end;
H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, 2017.
"""

from __future__ import annotations

import math
import struct

import numpy as np
import torch

from graphscope.errors import DataError
from graphscope.trainer.data.bounded import gunzip
from graphscope.trainer.data.images import ImageSet

MOST_IMAGES = 1_000_000
SIDE = 28
_UBYTE = 0x08


def parse_idx(data: bytes, dimensions: int, name: str) -> np.ndarray:
    """IDX bytes, packed with gzip or not, of unsigned bytes -> uint8 array with that many dimensions.

    Raises: DataError that says what was found where.
    """
    most = 4 + 4 * dimensions + MOST_IMAGES * SIDE * SIDE
    if data[:2] == b"\x1f\x8b":
        data = gunzip(data, most, name)
    header = 4 + 4 * dimensions
    if len(data) < header or data[:4] != bytes([0, 0, _UBYTE, dimensions]):
        raise DataError(
            f"{name}: begins with {data[:4].hex(' ')}; wanted 00 00 08 {dimensions:02x}, "
            f"an IDX file of unsigned bytes in {dimensions} dimension(s)."
        )
    shape = struct.unpack(f">{dimensions}I", data[4:header])
    if math.prod(shape) != len(data) - header:
        raise DataError(
            f"{name}: its header promises {'x'.join(map(str, shape))} bytes, and {len(data) - header:,} follow."
        )
    return np.frombuffer(data, dtype=np.uint8, offset=header).reshape(shape)


def image_set(
    name: str,
    files: dict[str, bytes],
    *,
    classes: tuple[str, ...],
    mean: float,
    std: float,
    provenance: str,
) -> ImageSet:
    """The four files by their official names, with or without .gz -> ImageSet.

    Raises: DataError if a file is no IDX file or the four do not belong together.
    """
    parts: list[torch.Tensor] = []
    for split in ("train", "t10k"):
        image_name, label_name = f"{split}-images-idx3-ubyte.gz", f"{split}-labels-idx1-ubyte.gz"
        images, labels = parse_idx(files[image_name], 3, image_name), parse_idx(files[label_name], 1, label_name)
        if images.shape[1:] != (SIDE, SIDE) or not len(images):
            raise DataError(f"{image_name}: holds {'x'.join(map(str, images.shape))}; wanted Nx{SIDE}x{SIDE}.")
        if len(images) != len(labels):
            raise DataError(f"{label_name}: {len(labels)} labels for the {len(images)} images of {image_name}.")
        if labels.max() >= len(classes):
            raise DataError(f"{label_name}: holds label {labels.max()}; wanted 0 to {len(classes) - 1}.")
        parts += [torch.from_numpy(images.copy())[:, None], torch.from_numpy(labels.astype(np.int64))]
    return ImageSet(
        name=name,
        train_images=parts[0],
        train_labels=parts[1],
        test_images=parts[2],
        test_labels=parts[3],
        classes=classes,
        mean=(mean,),
        std=(std,),
        provenance=provenance,
    )
