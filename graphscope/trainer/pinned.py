"""A batch of test images that stays the same -> what the network says of each now, for people to look at.

Asked of a copy of the network: an extra forward of the trained one would be a pass of its own to whoever watches it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from graphscope.trainer.loop import Trainer
from graphscope.trainer.tasks import Classification, MultiTaskTraining

IMAGES = 96
"""Most images of the batch."""
PIXELS = 32
"""Most rows and columns of an image that is shown; a larger one is averaged down."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What the network said. Shapes: all [N], on the CPU."""

    label: Tensor
    """int64."""
    predicted: Tensor
    """int64: the class with the highest score."""
    confidence: Tensor
    """float64, 0 to 1: softmax of that score; the score itself where rows are shares that add up to 1."""


class PinnedBatch:
    """The first test images, and a copy of the network to ask. Raises ValueError where nothing is classified."""

    def __init__(self, trainer: Trainer) -> None:
        if not isinstance(trainer.task, Classification | MultiTaskTraining):
            raise ValueError("this network does not classify")
        batch = next(iter(trainer.data.test()), None)
        if batch is None:
            raise ValueError("there are no test images")
        x, y = batch[0][:IMAGES], batch[1][:IMAGES]
        if y.dim() != 1 or y.is_floating_point():
            raise ValueError("the data have no classes")
        self._trainer, self._inputs, self.label = trainer, trainer.task.inputs(x), y.cpu()
        self.pixels = shown(x)
        """uint8 [N, H, W, C], C 1 or 3; None where the inputs are no images."""
        self._copy: nn.Module = copy.deepcopy(trainer.model).eval()
        self.predict()

    def predict(self) -> Predictions:
        """What the network as it is now says. Leaves its mode, its buffers and torch's random numbers alone."""
        self._copy.load_state_dict(self._trainer.model.state_dict())
        device = self._trainer.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
            scores = self._copy(*self._inputs)
        scores = scores[0] if isinstance(scores, tuple) and scores else scores
        if not isinstance(scores, Tensor) or scores.shape[:1] != self.label.shape or scores.dim() != 2:
            raise ValueError("the network gives no row of scores for each image")
        confidence, predicted = shares(scores.double().cpu()).max(dim=1)
        return Predictions(self.label, predicted, confidence)


def shares(scores: Tensor) -> Tensor:
    """Rows of scores -> rows that add up to 1. Shapes: [N, K] -> [N, K]."""
    already = bool((scores >= 0).all()) and torch.allclose(scores.sum(1), torch.ones(len(scores)).double(), atol=1e-3)
    return scores if already else scores.softmax(dim=1)


def shown(x: Tensor) -> Tensor | None:
    """Images as a network gets them -> bytes, each channel stretched over the batch from its lowest to its highest.

    Shapes: [N, C, H, W] -> uint8 [N, h, w, 1 or 3], h and w at most PIXELS. None for what are no images.
    """
    if x.dim() != 4 or x.shape[1] not in (1, 3) or not x.is_floating_point() or not bool(x.isfinite().all()):
        return None
    height, width = x.shape[2:]
    scale = max(height, width) / PIXELS
    x = x.detach().float().cpu()
    if scale > 1:
        x = F.interpolate(x, (max(1, round(height / scale)), max(1, round(width / scale))), mode="area")
    low, high = x.amin(dim=(0, 2, 3), keepdim=True), x.amax(dim=(0, 2, 3), keepdim=True)
    bytes_ = (x - low) / (high - low).clamp_min(1e-12) * 255
    return bytes_.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
