"""Settings, or a user's own objects -> device, batches and network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from graphscope.errors import DataError, TrainerError
from graphscope.trainer.data.batches import Batches, ImageBatches, LoaderBatches, loader_for
from graphscope.trainer.data.images import ImageSet
from graphscope.trainer.data.named import named
from graphscope.trainer.distributed import Ranks
from graphscope.trainer.models.named import NETWORKS, DataShape, from_factory, network
from graphscope.trainer.settings import TrainerSettings

Classes = tuple[str, ...] | None


def device_for(name: str) -> torch.device:
    """auto, cpu, mps, cuda or cuda:N -> the device.

    Raises: TrainerError if this machine, or this build of torch, does not have it.
    """
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and device.index is None and torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())  # with several processes, each one's own
    there = {"cpu": 1, "mps": int(has_mps), "cuda": torch.cuda.device_count()}[device.type]
    if (device.index or 0) >= there:
        raise TrainerError(
            f"Trainer(device={name!r}): torch {torch.__version__} sees {there} such device(s) here. Use device='auto'."
        )
    return device


def batches_for(
    settings: TrainerSettings,
    data: ImageSet | Dataset[Any] | DataLoader[Any] | None,
    test_data: Dataset[Any] | DataLoader[Any] | None,
    device: torch.device,
    ranks: Ranks,
) -> tuple[Batches, DataShape | None, Classes]:
    """Batches on the device, the shape a network has to fit (None if not known), and the classes' names (likewise)."""
    if data is None:
        data = named(settings.data, settings.data_dir)
    if isinstance(data, ImageSet):
        data = _scaled(data, settings.model)
        images = ImageBatches(
            data,
            batch_size=settings.batch_size,
            seed=settings.seed,
            device=device,
            augment=settings.augment,
            ranks=ranks,
        )
        return images, DataShape(*data.shape, len(data.classes)), data.classes
    train, test = _loader(settings, data, ranks, train=True), _loader(settings, test_data, ranks, train=False)
    if train is None:
        raise DataError(f"Trainer(data=...): a {type(data).__name__}; wanted a Dataset, a DataLoader or a name.")
    classes = _classes(train.dataset)
    return LoaderBatches(train, test, device), _shape(train.dataset, classes), classes


def model_for(settings: TrainerSettings, model: nn.Module | None, shape: DataShape | None) -> nn.Module:
    """The user's module, the one its factory makes, or the named one built to fit the data."""
    if model is not None:
        if not isinstance(model, nn.Module):
            raise TrainerError(f"Trainer(model=...): a {type(model).__name__}; wanted an nn.Module or a name.")
        return model
    if ":" in settings.model:
        return from_factory(settings.model)
    if shape is None:
        raise TrainerError(
            f"Trainer(model={settings.model!r}): the shape of your data cannot be told without iterating over it, so a "
            "network cannot be built to fit. Give model= your own nn.Module."
        )
    return network(settings.model, shape)


def _scaled(data: ImageSet, model: str) -> ImageSet:
    """The set with the mean and standard deviation that bring its pixels into the range the network is made for."""
    pixels = NETWORKS[model].pixels if model in NETWORKS else "standard"
    if pixels == "standard":
        return data
    mean, std = {"unit": (0.0, 1.0), "signed": (0.5, 0.5)}[pixels]
    return replace(data, mean=(mean,) * len(data.mean), std=(std,) * len(data.std))


def _loader(settings: TrainerSettings, data: object, ranks: Ranks, *, train: bool) -> DataLoader[Any] | None:
    if isinstance(data, DataLoader):
        return data
    if isinstance(data, Dataset):
        return loader_for(
            data,
            batch_size=settings.batch_size,
            seed=settings.seed,
            workers=settings.workers,
            shuffle=train,
            ranks=ranks,
        )
    return None


def _classes(dataset: object) -> Classes:
    """The names a data set gives its classes (torchvision's ``classes``), else one number per label found in it."""
    names = getattr(dataset, "classes", None)
    if isinstance(names, Sequence) and not isinstance(names, str) and names:
        return tuple(str(name) for name in names)
    labels = getattr(dataset, "targets", None)
    if labels is None and isinstance(dataset, torch.utils.data.TensorDataset) and len(dataset.tensors) == 2:
        labels = dataset.tensors[1]
    if labels is None:
        return None
    labels = torch.as_tensor(labels)
    if labels.dim() != 1 or labels.is_floating_point() or not len(labels):
        return None
    return tuple(str(label) for label in range(int(labels.max()) + 1))


def _shape(dataset: object, classes: Classes) -> DataShape | None:
    if classes is None or isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__"):
        return None
    x = dataset[0][0]
    if not isinstance(x, Tensor) or x.dim() not in (1, 3):
        return None
    channels, height, width = x.shape if x.dim() == 3 else (1, 1, x.shape[0])
    return DataShape(channels, height, width, len(classes))
