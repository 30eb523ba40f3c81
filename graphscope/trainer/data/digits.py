"""scikit-learn's bundled digits -> ImageSet: 1,797 real scans, enlarged from 8x8 to MNIST's 28x28; no network.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998
(the test part, as sklearn.datasets.load_digits ships it).
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from graphscope.errors import DataError
from graphscope.trainer.data.images import ImageSet, channel_statistics


def digits() -> ImageSet:
    """The set, split 80/20: of each class every fifth scan is for testing, whatever the seed.

    Raises: DataError where scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(
            "digits: these scans come with scikit-learn, which is not installed. "
            'pip install "torch-graphscope[train]", or train on data="shapes".'
        ) from error
    scans, labels = load_digits(return_X_y=True)
    small = torch.from_numpy(np.ascontiguousarray(scans, dtype=np.float32)).view(-1, 1, 8, 8) * (255 / 16)
    images = F.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False).round_().to(torch.uint8)
    target = torch.from_numpy(np.ascontiguousarray(labels, dtype=np.int64))
    test = fifth_of_each_class(target)
    mean, std = channel_statistics(images[~test])
    return ImageSet(
        name="digits",
        train_images=images[~test],
        train_labels=target[~test],
        test_images=images[test],
        test_labels=target[test],
        classes=tuple("0123456789"),
        mean=mean,
        std=std,
        provenance="bundled with scikit-learn",
    )


def fifth_of_each_class(labels: torch.Tensor) -> torch.Tensor:
    """True for the 5th, 10th, 15th ... example of each class, in the order given.

    Shapes: labels int64 [N] -> bool [N].
    """
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        chosen[(labels == label).nonzero().flatten()[4::5]] = True
    return chosen
