"""Rules: what is wrong with a run and why. One file a rule; its docstring is the help that users read.

A rule is a function from News (what came since the last look) to Findings, one for each time it sees its symptom.
``graphscope.check`` asks all of them about one forward; those that need a training find nothing there.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterable
from dataclasses import replace
from weakref import WeakKeyDictionary

from graphscope.rules.activation_on_logits import activation_on_logits
from graphscope.rules.batchnorm_of_few_values import batchnorm_of_few_values
from graphscope.rules.bias_before_norm import bias_before_norm
from graphscope.rules.dead_relu import dead_relu
from graphscope.rules.diverging import diverging
from graphscope.rules.dropout2d_on_2d_input import dropout2d_on_2d_input
from graphscope.rules.evaluated_in_train_mode import evaluated_in_train_mode
from graphscope.rules.linear_without_nonlinearity import linear_without_nonlinearity
from graphscope.rules.missing_zero_grad import missing_zero_grad
from graphscope.rules.news import News, Progress, Rule
from graphscope.rules.nll_without_log_softmax import nll_without_log_softmax
from graphscope.rules.nonfinite import nonfinite
from graphscope.rules.parameter_without_gradient import parameter_without_gradient
from graphscope.rules.softmax_before_cross_entropy import softmax_before_cross_entropy
from graphscope.rules.vanishing_gradient import vanishing_gradient
from graphscope.rules.weights_barely_change import weights_barely_change
from graphscope.run import Run
from graphscope.schema import Finding

RULES: tuple[Rule, ...] = (
    nonfinite,
    diverging,
    vanishing_gradient,
    softmax_before_cross_entropy,
    activation_on_logits,
    nll_without_log_softmax,
    missing_zero_grad,
    parameter_without_gradient,
    weights_barely_change,
    dead_relu,
    evaluated_in_train_mode,
    batchnorm_of_few_values,
    dropout2d_on_2d_input,
    linear_without_nonlinearity,
    bias_before_norm,
)
"""Most harmful first."""

__all__ = ["RULES", "News", "evaluate"]

_PROGRESS: WeakKeyDictionary[Run, Progress] = WeakKeyDictionary()
_LOCK = threading.Lock()
_BROKEN: set[str] = set()


def evaluate(run: Run) -> list[Finding]:
    """Asks all rules about what is new in the run -> Findings that are new or changed; the run itself stays as it is.

    A rule that fails is left out with one warning; with GRAPHSCOPE_STRICT=1 its exception is raised.
    """
    with _LOCK:
        progress = _PROGRESS.setdefault(run, Progress())
    news = progress.news(run)
    if not (news.graphs or news.passes or news.steps or news.stats):
        return []
    known = {(f.rule, f.fqn, f.call): f for f in run.findings} if progress.fresh else {}
    said: dict[tuple[str, str, int], Finding] = {}
    for rule in RULES:
        for sight in _sights(rule, news):
            key = (sight.rule, sight.fqn, sight.call)
            before = progress.counted.get(key) or known.get(key)
            if key not in progress.counted and before is not None and _counted(before, sight):
                continue
            progress.counted[key] = said[key] = _merged(before, sight)
    progress.fresh = False
    # A finding that is seen at every step is said again only when it was seen a tenth more often.
    news_of = {
        key: f for key, f in said.items() if f.count - progress.told.get(key, 0) > progress.told.get(key, 0) // 10
    }
    progress.told.update({key: finding.count for key, finding in news_of.items()})
    return list(news_of.values())


def _sights(rule: Rule, news: News) -> Iterable[Finding]:
    try:
        return list(rule(news))
    except Exception as error:
        name = getattr(rule, "__name__", "rule")
        if os.environ.get("GRAPHSCOPE_STRICT", "") not in ("", "0"):
            raise
        if name not in _BROKEN:
            _BROKEN.add(name)
            warnings.warn(f"GraphScope's rule {name} failed and is left out: {error!r}", stacklevel=3)
        return []


def _counted(before: Finding, sight: Finding) -> bool:
    """Whether a finding read from a file already tells of this sight."""
    return sight.step is None or (before.last_step is not None and sight.step <= before.last_step)


def _merged(before: Finding | None, sight: Finding) -> Finding:
    """Everything from the latest sight but when it was first seen; the worst severity stays."""
    last = sight.last_step if sight.last_step is not None else sight.step
    if before is None:
        return replace(sight, last_step=last)
    order = ("error", "warning", "info")
    severity = min(before.severity, sight.severity, key=order.index)
    return replace(
        sight,
        severity=severity,
        step=before.step if before.step is not None else sight.step,
        last_step=last if last is not None else before.last_step,
        count=before.count + sight.count,
    )
