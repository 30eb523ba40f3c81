"""A network's name and the shape of the data -> an nn.Module. Names with descriptions: ``settings.MODELS``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Literal, NamedTuple

from torch import nn

from graphscope.errors import TrainerError, UnknownName
from graphscope.trainer.models.autoencoder import Autoencoder
from graphscope.trainer.models.cnn import CNN, CNNBatchNorm
from graphscope.trainer.models.gan import GAN
from graphscope.trainer.models.lenet import LeNet
from graphscope.trainer.models.mlp import MLP, MLPLogSoftmax, MLPSoftmax
from graphscope.trainer.models.multitask import MultiTask
from graphscope.trainer.models.recurrent import RowGRU, RowLSTM
from graphscope.trainer.models.resnet import ResNet9, ResNet18
from graphscope.trainer.models.vit import ViT


class DataShape(NamedTuple):
    """What a network has to fit: one image's size, and the number of classes."""

    channels: int
    height: int
    width: int
    n_classes: int

    @property
    def pixels(self) -> int:
        """Values in one image."""
        return self.channels * self.height * self.width


class Network(NamedTuple):
    """How to build one network, and which images it takes."""

    build: Callable[[DataShape], nn.Module]
    smallest: int = 1
    multiple_of: int = 1
    pixels: Literal["standard", "unit", "signed"] = "standard"
    """Values it is fed: mean 0 and standard deviation 1 over the training set, 0 to 1, or -1 to 1."""


NETWORKS: dict[str, Network] = {
    "cnn-bn": Network(lambda s: CNNBatchNorm(s.channels, s.height, s.width, s.n_classes), smallest=6),
    "cnn": Network(lambda s: CNN(s.channels, s.height, s.width, s.n_classes), smallest=6),
    "mlp": Network(lambda s: MLP(s.pixels, s.n_classes)),
    "mlp-logsoftmax": Network(lambda s: MLPLogSoftmax(s.pixels, s.n_classes)),
    "mlp-softmax": Network(lambda s: MLPSoftmax(s.pixels, s.n_classes)),
    "lenet": Network(lambda s: LeNet(s.channels, s.height, s.width, s.n_classes), smallest=16),
    "resnet9": Network(lambda s: ResNet9(s.channels, s.n_classes), smallest=8),
    "resnet18": Network(lambda s: ResNet18(s.channels, s.n_classes), smallest=8),
    "lstm": Network(lambda s: RowLSTM(s.channels, s.width, s.n_classes)),
    "gru": Network(lambda s: RowGRU(s.channels, s.width, s.n_classes)),
    "vit": Network(lambda s: ViT(s.channels, s.height, s.width, s.n_classes), smallest=4, multiple_of=4),
    "autoencoder": Network(
        lambda s: Autoencoder(s.channels, s.height, s.width), smallest=4, multiple_of=4, pixels="unit"
    ),
    "multitask": Network(lambda s: MultiTask(s.channels, s.n_classes), smallest=2),
    "gan": Network(lambda s: GAN(s.channels, s.height, s.width), smallest=4, multiple_of=4, pixels="signed"),
}


def network(name: str, shape: DataShape) -> nn.Module:
    """The network called ``name``, initialised from torch's random state, for images of this shape.

    Raises: UnknownName, or TrainerError if such images are too small or do not divide.
    """
    if name not in NETWORKS:
        raise UnknownName(f"network({name!r}): no network is called that. There are: {', '.join(NETWORKS)}.")
    build, smallest, multiple_of, _ = NETWORKS[name]
    sides = (shape.height, shape.width)
    if min(sides) < smallest or any(side % multiple_of for side in sides):
        wanted = f"at least {smallest}x{smallest}" + (f", sides multiples of {multiple_of}" if multiple_of > 1 else "")
        raise TrainerError(
            f"{name} takes images of {wanted}; the data has {shape.channels}x{shape.height}x{shape.width} "
            "(channels x height x width). Choose another network, for example mlp."
        )
    return build(shape)


def from_factory(path: str) -> nn.Module:
    """``package.module:factory`` -> what that callable returns when called without arguments.

    Raises: TrainerError if it cannot be imported, or returns no nn.Module; what the factory raises passes through.
    """
    module_name, _, attribute = path.partition(":")
    try:
        target: object = importlib.import_module(module_name)
        for name in attribute.split("."):
            target = getattr(target, name)
    except (ImportError, AttributeError) as error:
        raise TrainerError(
            f"Trainer(model={path!r}): {error}. Wanted package.module:factory, importable from where Python started."
        ) from error
    if isinstance(target, nn.Module):
        return target
    if callable(target):
        _check_takes_nothing(path, target)
    built = target() if callable(target) else target
    if not isinstance(built, nn.Module):
        raise TrainerError(f"Trainer(model={path!r}): this gave a {type(built).__name__}; wanted an nn.Module.")
    return built


def _check_takes_nothing(path: str, target: Callable[..., object]) -> None:
    try:
        inspect.signature(target).bind()
    except TypeError as error:
        raise TrainerError(
            f"Trainer(model={path!r}): it is called without arguments, but {error}. Wanted a function that returns an "
            "nn.Module."
        ) from error
    except ValueError:
        pass  # a callable that does not tell its arguments
