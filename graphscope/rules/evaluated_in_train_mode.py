"""evaluated-in-train-mode: forwards without gradients while BatchNorm or Dropout layers are in train mode.

Why it matters: Dropout then drops at random, so the result is too bad and differs from run to run; BatchNorm normalises
with the batch at hand and moves its running averages towards the evaluation data.
When it is fine: Monte Carlo dropout (the model in eval mode, only its Dropout layers in train mode) is not accused;
neither is one forward before the first step, which often only looks at shapes. Passes that renew BatchNorm's averages
on purpose (torch.optim.swa_utils.update_bn) are fine.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphscope.rules.flow import type_of
from graphscope.rules.news import News
from graphscope.schema import Finding

SHOWN = 3
"""Layers named in the message."""


def evaluated_in_train_mode(news: News) -> Iterator[Finding]:
    """One sight for every record of passes without gradients in which such layers were in train mode."""
    memory = news.memory.setdefault("evaluated-in-train-mode", {"before_training": 0, "first": None, "forwards": 0})
    suspects = [one for one in news.passes if not one.grad_enabled and one.train_mode_layers]
    graph = news.run.graph if suspects else None
    for one in suspects:
        layers = list(one.train_mode_layers)
        types = [type_of(graph, fqn) if graph is not None else "" for fqn in layers]
        if not one.training and all("Dropout" in name for name in types):
            continue  # switched on by hand in a model in eval mode: Monte Carlo dropout
        if one.step == 0:
            memory["before_training"] += one.repeats
            if memory["before_training"] < 2:
                continue
        memory["first"] = first = one.step if memory["first"] is None else memory["first"]
        memory["forwards"] += one.repeats
        forwards = f"{memory['forwards']:,} forward{'s' if memory['forwards'] > 1 else ''}"
        steps = f"step {one.step:,}" if one.step == first else f"steps {first:,} to {one.step:,}"
        names = ", ".join(layers[:SHOWN]) + (f" and {len(layers) - SHOWN} more" if len(layers) > SHOWN else "")
        kinds = " and ".join(kind for kind in ("BatchNorm", "Dropout") if any(kind in name for name in types))
        kinds = kinds or "BatchNorm or Dropout"
        layer_s = f"{len(layers)} {kinds} layer{'s' if len(layers) > 1 else ''}"
        root = "the whole model is in train mode" if one.training else "the model itself is in eval mode, they are not"
        yield Finding(
            rule="evaluated-in-train-mode",
            severity="warning",
            title="Evaluated in train mode",
            message=f"{forwards} without gradients at {steps}, with {layer_s} in train mode: {names}; {root}.",
            advice="Call model.eval() before an evaluation and model.train() before training goes on. torch.no_grad() "
            "does not do it: it only switches gradients off.",
            why="In train mode Dropout drops at random, so the result is too bad and differs each time, and BatchNorm "
            "normalises with the batch at hand and moves its running averages towards the evaluation data. It is fine "
            "where that is the purpose, as when BatchNorm's averages are renewed.",
            fqn="",
            step=one.step,
            count=one.repeats,
            value=float(len(layers)),
            fix="+ model.eval()\n  with torch.no_grad():\n      output = model(x)\n+ model.train()",
        )
