"""One batch -> a loss to minimise and what was right: what differs between kinds of networks, in one place.

The loop asks its task and is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphscope.errors import TrainerError
from graphscope.trainer.models.gan import GAN, NOISE
from graphscope.trainer.settings import TrainerSettings


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one forward gave."""

    loss: Tensor
    """Scalar, mean over the batch."""
    correct: Tensor | None = None
    """bool [N]: which inputs were classified rightly; None where nothing is classified."""
    parts: dict[str, Tensor] = field(default_factory=dict)
    """The terms of a loss that has several, by name."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A part of the network that is trained by a loss of its own; most networks have one, a GAN two per step."""

    parameters: list[nn.Parameter]
    settings: TrainerSettings
    """For its optimizer."""
    outcome: Callable[[nn.Module, Tensor, Tensor], Outcome]


class Task(Protocol):
    """A kind of training."""

    @property
    def loss_fn(self) -> nn.Module:
        """The criterion, as a module."""

    def turns(self, model: nn.Module, settings: TrainerSettings) -> list[Turn]:
        """What is trained in each step, in order."""

    def outcome(self, model: nn.Module, x: Tensor, y: Tensor) -> Outcome:
        """One forward of ``model`` on a batch, and its loss."""

    def inputs(self, x: Tensor) -> tuple[Tensor, ...]:
        """The arguments of the network's forward for a batch of inputs."""


class _OneTurn:
    """Everything is trained at once, by the same loss that is evaluated."""

    def turns(self, model: nn.Module, settings: TrainerSettings) -> list[Turn]:
        return [Turn(list(model.parameters()), settings, self.outcome)]

    def outcome(self, model: nn.Module, x: Tensor, y: Tensor) -> Outcome:
        raise NotImplementedError

    def inputs(self, x: Tensor) -> tuple[Tensor, ...]:
        return (x,)


class Classification(_OneTurn):
    """One class per input: any loss between scores and labels, accuracy by the highest score."""

    def __init__(self, loss_fn: nn.Module) -> None:
        self.loss_fn = loss_fn

    def outcome(self, model: nn.Module, x: Tensor, y: Tensor) -> Outcome:
        out = model(x)
        return Outcome(self.loss_fn(out, y), _correct(out, y))


class Reconstruction(_OneTurn):
    """The network gives its input back; labels are not looked at."""

    def __init__(self, loss_fn: nn.Module) -> None:
        self.loss_fn = loss_fn

    def outcome(self, model: nn.Module, x: Tensor, y: Tensor) -> Outcome:
        return Outcome(self.loss_fn(model(x), x))


class LabelAndBrightness(nn.Module):
    """The sum of two losses. Shapes: scores [N, K], labels [N], brightness [N, 4], images [N, C, H, W] -> scalar."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
        self.brightness = nn.MSELoss()

    def forward(self, scores: Tensor, labels: Tensor, brightness: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        quarters = F.adaptive_avg_pool2d(images.mean(dim=1, keepdim=True), 2).flatten(1)
        return self.label(scores, labels), self.brightness(brightness, quarters)


class MultiTaskTraining(_OneTurn):
    """Two heads, two losses, one backward."""

    def __init__(self, loss_fn: LabelAndBrightness) -> None:
        self.loss_fn = loss_fn

    def outcome(self, model: nn.Module, x: Tensor, y: Tensor) -> Outcome:
        scores, brightness = model(x)
        label, bright = self.loss_fn(scores, y, brightness, x)
        return Outcome(label + bright, _correct(scores, y), {"label": label, "brightness": bright})


class Adversarial:
    """Generator and discriminator in turns, each with an optimizer of its own."""

    def __init__(self) -> None:
        self.loss_fn = nn.BCEWithLogitsLoss()

    def turns(self, model: nn.Module, settings: TrainerSettings) -> list[Turn]:
        assert isinstance(model, GAN), "settings.model named it"
        # Radford et al. 2016: with Adam's usual 0.9 training oscillates, 0.5 steadies it.
        settings = replace(settings, momentum=min(settings.momentum, 0.5))
        return [
            Turn(list(model.discriminator.parameters()), settings, self._discriminator),
            Turn(list(model.generator.parameters()), settings, self._generator),
        ]

    def outcome(self, model: nn.Module, x: Tensor, y: Tensor) -> Outcome:
        both = [part(model, x, y) for part in (self._discriminator, self._generator)]
        return Outcome(both[0].loss + both[1].loss, None, both[0].parts | both[1].parts)

    def inputs(self, x: Tensor) -> tuple[Tensor, ...]:
        return _noise(x, fixed=True), x

    def _discriminator(self, model: nn.Module, x: Tensor, y: Tensor) -> Outcome:
        real, made = model(_noise(x, fixed=not model.training), x)
        loss = (self.loss_fn(real, torch.ones_like(real)) + self.loss_fn(made, torch.zeros_like(made))) / 2
        return Outcome(loss, None, {"discriminator": loss})

    def _generator(self, model: nn.Module, x: Tensor, y: Tensor) -> Outcome:
        _, made = model(_noise(x, fixed=not model.training))
        loss = self.loss_fn(made, torch.ones_like(made))
        return Outcome(loss, None, {"generator": loss})


def _noise(x: Tensor, *, fixed: bool) -> Tensor:
    """One row for each input; always the same ones in an evaluation, which must draw no random number."""
    if fixed:
        return torch.randn(len(x), NOISE, generator=torch.Generator().manual_seed(0)).to(x.device)
    return torch.randn(len(x), NOISE, device=x.device)


def _correct(scores: Tensor, labels: Tensor) -> Tensor | None:
    """Only class labels against a row of scores can be right or wrong; a regression has no accuracy."""
    if labels.dim() != 1 or labels.is_floating_point() or scores.dim() != 2 or scores.shape[1] < 2:
        return None
    return scores.detach().argmax(dim=1) == labels


class OneHotLoss(nn.Module):
    """A loss between numbers, taken between scores and labels as one-hot rows. Shapes: [N, K], [N] -> scalar."""

    def __init__(self, loss_fn: nn.Module) -> None:
        super().__init__()
        self.loss_fn = loss_fn

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        loss: Tensor = self.loss_fn(scores, F.one_hot(labels, scores.shape[1]).to(scores.dtype))
        return loss


def task_for(settings: TrainerSettings) -> Task:
    """The task that the settings' network and loss ask for.

    Raises: TrainerError where the loss makes no sense for it.
    """
    allowed = _ALLOWED.get(settings.model)
    if allowed is not None and settings.loss not in allowed:
        raise TrainerError(f"Trainer(loss={settings.loss!r}): {settings.model} takes {', '.join(allowed)}.")
    smoothed = settings.model not in ("autoencoder", "gan") and settings.loss in ("auto", "cross-entropy")
    if settings.label_smoothing and not smoothed:
        raise TrainerError(
            f"Trainer(label_smoothing={settings.label_smoothing}): only cross-entropy smooths labels, and another loss "
            "is used here. Set label_smoothing=0 or loss='cross-entropy'."
        )
    match settings.model, settings.loss:
        case "gan", _:
            return Adversarial()
        case "multitask", _:
            return MultiTaskTraining(LabelAndBrightness(settings.label_smoothing))
        case "autoencoder", "bce":
            return Reconstruction(nn.BCELoss())
        case "autoencoder", _:
            return Reconstruction(nn.MSELoss())
        case _, "nll":
            return Classification(nn.NLLLoss())
        case _, "bce":
            return Classification(OneHotLoss(nn.BCEWithLogitsLoss()))
        case _, "mse":
            return Classification(OneHotLoss(nn.MSELoss()))
    return Classification(nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing))


# The losses of networks that do not simply classify.
_ALLOWED = {"autoencoder": ("auto", "mse", "bce"), "gan": ("auto",), "multitask": ("auto",)}


def by_class(labels: Tensor, correct: Tensor, n_classes: int) -> Tensor:
    """How many of each class there were and how many of those were right. Shapes: [N], [N] -> int64 [2, n_classes]."""
    seen, right = (torch.bincount(part, minlength=n_classes) for part in (labels, labels[correct]))
    return torch.stack([seen, right])
