"""Names and numbers from a shell, a call or a panel -> TrainerSettings, checked before anything is built.

No torch here: ``graphscope train --help`` and the panel's menus are made of these tables alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

from graphscope.errors import TrainerError, UnknownName, did_you_mean


class Choice(NamedTuple):
    """One entry of a menu."""

    name: str
    description: str


DATASETS: tuple[Choice, ...] = (
    Choice("digits", "1,797 real handwritten digits at 28x28, bundled with scikit-learn: no download"),
    Choice("shapes", "10,000 drawn shapes, 10 kinds, 32x32 RGB, generated: no download"),
    Choice("mnist", "70,000 handwritten digits, 28x28"),
    Choice("fashion-mnist", "70,000 pictures of clothes, 10 kinds, 28x28"),
    Choice("cifar10", "60,000 photographs, 10 kinds, 32x32 RGB"),
    Choice("cifar100", "60,000 photographs, 100 kinds, 32x32 RGB"),
)

MODELS: tuple[Choice, ...] = (
    Choice("cnn-bn", "two convolutions with BatchNorm, Dropout, two linear layers"),
    Choice("cnn", "the same without BatchNorm"),
    Choice("mlp", "one hidden layer of 128 units"),
    Choice("mlp-logsoftmax", "mlp that ends in log_softmax: harmless before cross-entropy, and redundant"),
    Choice("mlp-softmax", "mlp that ends in softmax: a common mistake before cross-entropy"),
    Choice("lenet", "LeNet-5 with ReLU and max pooling, as the CIFAR introductions have it"),
    Choice("resnet9", "small residual network"),
    Choice("resnet18", "ResNet-18 for small images"),
    Choice("lstm", "LSTM over the image's rows"),
    Choice("gru", "GRU over the image's rows"),
    Choice("vit", "tiny vision transformer"),
    Choice("autoencoder", "the image through a code of 32 numbers and back; reconstruction error"),
    Choice("multitask", "one trunk, two heads: the class, and the brightness of four quarters"),
    Choice("gan", "generator against discriminator, with an optimizer each"),
)

OPTIMIZERS: tuple[Choice, ...] = (
    Choice("auto", "the one that suits the network"),
    Choice("sgd", "SGD without momentum"),
    Choice("momentum", "SGD with momentum"),
    Choice("rmsprop", "RMSprop"),
    Choice("adam", "Adam"),
    Choice("adamw", "Adam with decoupled weight decay"),
)

SCHEDULES: tuple[Choice, ...] = (
    Choice("auto", "the one that suits the network"),
    Choice("constant", "the same learning rate throughout"),
    Choice("step", "a tenth after half of the steps, a hundredth after three quarters"),
    Choice("cosine", "down to zero along half a cosine"),
    Choice("onecycle", "up for 30 % of the steps, then down to almost zero"),
)

LOSSES: tuple[Choice, ...] = (
    Choice("auto", "the one that suits the network"),
    Choice("cross-entropy", "CrossEntropyLoss, for scores (logits)"),
    Choice("nll", "NLLLoss, for networks that end in log_softmax"),
    Choice("bce", "binary cross-entropy against one-hot targets, for scores; for an autoencoder against the image"),
    Choice("mse", "MSELoss against one-hot targets; for an autoencoder against the image"),
)

# Learning rates at batch size 64 where only the optimizer is known.
OPTIMIZER_LR: dict[str, float] = {"sgd": 0.1, "momentum": 0.01, "rmsprop": 0.001, "adam": 0.001, "adamw": 0.001}

# What each network is usually trained with; other optimizers take the table above.
MODEL_OPTIMIZER: dict[str, tuple[str, float]] = {
    "cnn-bn": ("adam", 0.002),
    "cnn": ("momentum", 0.02),
    "mlp": ("adam", 0.001),
    "mlp-logsoftmax": ("adam", 0.001),
    "mlp-softmax": ("adam", 0.001),
    # The introduction's 0.001 is for batches of 4 images: 0.016 for 64, by the linear scaling rule.
    "lenet": ("momentum", 0.016),
    "resnet9": ("momentum", 0.02),
    "resnet18": ("momentum", 0.02),
    "lstm": ("adam", 0.002),
    "gru": ("adam", 0.002),
    "vit": ("adamw", 0.001),
    "autoencoder": ("adam", 0.001),
    "multitask": ("adam", 0.001),
    "gan": ("adam", 0.0002),
}

# Networks that a few epochs bring further with a learning rate that falls to zero; the others keep theirs.
MODEL_SCHEDULE: dict[str, str] = {
    "mlp": "cosine",
    "mlp-logsoftmax": "cosine",
    "mlp-softmax": "cosine",
    "cnn-bn": "onecycle",
    "cnn": "onecycle",
    "lenet": "onecycle",
    "resnet9": "onecycle",
    "resnet18": "onecycle",
    "vit": "onecycle",
}

# What a page may set: numbers, and names out of the tables. Never a path, never a Python name to import.
PANEL_FIELDS: tuple[str, ...] = (
    "data", "model", "optimizer", "lr", "momentum", "weight_decay", "schedule", "loss", "epochs", "steps", "batch_size",
    "seed", "label_smoothing", "clip", "accumulate", "augment", "patience",
)  # fmt: skip

_PATH = re.compile(r"[^\0]+")
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,2})?")
_FACTORY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSettings:
    """What to train, on what and how; JSON-able. ``checked()`` raises on the first field that is wrong."""

    data: str = "digits"
    """A name of DATASETS."""
    model: str = "cnn-bn"
    """A name of MODELS, or ``package.module:factory`` (called with no argument, returns an nn.Module)."""
    optimizer: str = "auto"
    """A name of OPTIMIZERS; auto: what the network is usually trained with."""
    lr: float | None = None
    """Learning rate before the schedule, 0 or more; None: what suits network and optimizer."""
    momentum: float = 0.9
    """0 to below 1; for momentum, and the first beta of adam and adamw."""
    weight_decay: float = 0.0
    """0 or more, as the optimizer defines it."""
    schedule: str = "auto"
    """A name of SCHEDULES; auto: what suits the network, constant where the number of steps is not known."""
    loss: str = "auto"
    """A name of LOSSES."""
    epochs: int = 5
    """Passes over the training images; ignored where ``steps`` is given."""
    steps: int | None = None
    """Optimizer steps to train for; None: ``epochs`` decides."""
    batch_size: int = 64
    """Images in one forward of one process."""
    seed: int = 0
    """Start of initialisation, dropout, order and augmentation: the same to the bit on one machine."""
    device: str = "auto"
    """auto (cuda, then mps, then cpu), cpu, mps, cuda or cuda:N."""
    data_dir: str | None = None
    """Folder with the user's own copy of the data set; None: GRAPHSCOPE_DATA, then the cache, then a download."""
    label_smoothing: float = 0.0
    """0 to 1; for cross-entropy."""
    clip: float | None = None
    """Largest L2 norm of all gradients together; None: not clipped."""
    accumulate: int = 1
    """Batches whose gradients are added up for one optimizer step."""
    workers: int = 0
    """DataLoader processes for a user's Dataset; the named data sets need none."""
    augment: bool = True
    """Random crop and flip where the data set usually has it (CIFAR)."""
    amp: bool = False
    """Mixed precision: bfloat16 where the device has it, else float16 with loss scaling."""
    compile: bool = False
    """Run the network through torch.compile."""
    checkpoint_dir: str | None = None
    """Folder that gets a checkpoint after each epoch; None: none is written."""
    patience: int | None = None
    """Stop early after this many epochs without a lower test loss; None: never."""

    def checked(self) -> TrainerSettings:
        """Itself, if every field is usable.

        Raises: UnknownName for a name, TrainerError for a number; both say field, value and what is possible.
        """
        _name("data", self.data, DATASETS)
        if not _matches(_FACTORY, self.model):
            _name("model", self.model, MODELS, " or package.module:factory")
        _name("optimizer", self.optimizer, OPTIMIZERS)
        _name("schedule", self.schedule, SCHEDULES)
        _name("loss", self.loss, LOSSES)
        _number("lr", self.lr, 0, 1e6, optional=True)
        _number("momentum", self.momentum, 0, 1, below=True)
        _number("weight_decay", self.weight_decay, 0, 1e6)
        _number("label_smoothing", self.label_smoothing, 0, 1)
        _number("clip", self.clip, 0, 1e30, above=True, optional=True)
        _integer("epochs", self.epochs, 1, 1_000_000)
        _integer("steps", self.steps, 1, 10**12, optional=True)
        _integer("batch_size", self.batch_size, 1, 10**7)
        _integer("seed", self.seed, 0, 2**63 - 1)
        _integer("accumulate", self.accumulate, 1, 10**6)
        _integer("workers", self.workers, 0, 1024)
        _integer("patience", self.patience, 1, 10**6, optional=True)
        for name in ("augment", "amp", "compile"):
            if not isinstance(getattr(self, name), bool):
                raise _wrong(name, getattr(self, name), "True or False")
        if not _matches(_DEVICE, self.device):
            raise _wrong("device", self.device, "auto, cpu, mps, cuda or cuda:N")
        for name in ("data_dir", "checkpoint_dir"):
            path = getattr(self, name)
            if path is not None and not _matches(_PATH, path):
                raise _wrong(name, path, "the path of a folder, or None")
        return self

    def resolved(self) -> TrainerSettings:
        """With optimizer, lr and schedule filled in where they were left to the network."""
        usual, lr = MODEL_OPTIMIZER.get(self.model, ("momentum", OPTIMIZER_LR["momentum"]))
        optimizer = usual if self.optimizer == "auto" else self.optimizer
        if optimizer != usual:
            lr = OPTIMIZER_LR[optimizer]
        if self.model == "lenet" and optimizer == usual:
            lr = lr * self.batch_size / 64
        schedule = MODEL_SCHEDULE.get(self.model, "constant") if self.schedule == "auto" else self.schedule
        lr = lr if self.lr is None else float(self.lr)
        return replace(self, optimizer=optimizer, lr=lr, schedule=schedule)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, allowed: Sequence[str] | None = None) -> TrainerSettings:
        """Fields by name -> checked settings.

        allowed: the only fields that may be named (PANEL_FIELDS for what comes from a page; ``package.module:factory``
        is then refused as well, since a page must never choose code to import).
        Raises: UnknownName or TrainerError on an unknown or wrong field.
        """
        known = tuple(f.name for f in fields(cls)) if allowed is None else tuple(allowed)
        for name in values:
            if name not in known:
                there_are = _there_are(str(name), known)
                raise UnknownName(f"TrainerSettings: no setting is called {_shown(name)}. {there_are}")
        if allowed is not None and "model" in values:
            _name("model", values["model"], MODELS)
        return cls(**values).checked()


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _there_are(name: str, known: Sequence[str]) -> str:
    return f"There are: {', '.join(known)}.{did_you_mean(name[:80], known)}"


def _wrong(field: str, value: object, wanted: str) -> TrainerError:
    return TrainerError(f"TrainerSettings({field}={_shown(value)}): wanted {wanted}.")


def _name(field: str, value: object, choices: tuple[Choice, ...], also: str = "") -> None:
    names = [choice.name for choice in choices]
    if not isinstance(value, str) or value not in names:
        what = {"data": "data set", "model": "network"}.get(field, field)
        more = f" Or give{also[3:]}." if also else ""
        raise UnknownName(
            f"TrainerSettings({field}={_shown(value)}): no {what} is called that. {_there_are(str(value), names)}{more}"
        )


def _number(
    field: str,
    value: object,
    low: float,
    high: float,
    *,
    above: bool = False,
    below: bool = False,
    optional: bool = False,
) -> None:
    if optional and value is None:
        return
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if good and isinstance(value, (int, float)):
        good = (value > low if above else value >= low) and (value < high if below else value <= high)
    if not good:
        wanted = f"a number {'above' if above else 'from'} {low:g} {'to below' if below else 'to'} {high:g}"
        raise _wrong(field, value, wanted + (", or None" if optional else ""))


def _integer(field: str, value: object, low: int, high: int, *, optional: bool = False) -> None:
    if optional and value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _wrong(field, value, f"a whole number from {low} to {high}" + (", or None" if optional else ""))
