"""Processes of one run: how far each of them came, and one statistic side by side or as of one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from graphscope.messages import RunRanks

Steps = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankSeen:
    """One process of a run as its files show it."""

    rank: int
    files: int
    """More than one where it was restarted."""
    steps: int
    """Optimizer steps recorded."""
    last_step: int | None
    last_seen: str
    """Wall time of its last step by its own clock, ISO 8601; that of its start if it made none, empty if unknown."""
    finished: bool
    """Whether its last file was closed; False while it trains, or if it was killed."""


@dataclass(slots=True)
class FileSeen:
    """One file of a run while it is read."""

    rank: int
    created: str
    steps: int = 0
    last_step: int | None = None
    seconds: float = 0.0
    finished: bool = False


def ranks_of(files: Sequence[FileSeen]) -> list[RankSeen]:
    """Files in the order in which they were written -> their ranks, rising."""
    found = []
    for rank in sorted({file.rank for file in files}):
        own = [file for file in files if file.rank == rank]
        last = own[-1]
        reached = [file.last_step for file in own if file.last_step is not None]
        found.append(
            RankSeen(
                rank=rank, files=len(own), steps=sum(file.steps for file in own),
                last_step=max(reached, default=None), last_seen=_later(last.created, last.seconds),
                finished=last.finished,
            )
        )  # fmt: skip
    return found


def ranks_reply(ranks: Sequence[RankSeen], shown: int | None) -> RunRanks | None:
    """What a page is told of them; None for one process alone."""
    if len(ranks) < 2:
        return None
    return RunRanks(
        shown=shown,
        rank=[one.rank for one in ranks],
        last_step=[one.last_step for one in ranks],
        last_seen=[one.last_seen for one in ranks],
        finished=[one.finished for one in ranks],
    )


def _later(created: str, seconds: float) -> str:
    try:
        return (datetime.fromisoformat(created) + timedelta(seconds=seconds)).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return ""


def aligned(parts: Iterable[tuple[Steps, Values]]) -> tuple[Steps, Values]:
    """Series over different steps -> all their steps, rising, and [series, steps] with NaN where one has none."""
    series = list(parts)
    steps = np.unique(np.concatenate([np.zeros(0, np.int64), *(at for at, _ in series)]))
    values = np.full((len(series), len(steps)), np.nan)
    for row, (at, known) in zip(values, series, strict=True):
        row[np.searchsorted(steps, at)] = known
    return steps, values


NEEDS: Mapping[str, tuple[str, ...]] = {
    "mean": ("finite", "mean"), "std": ("finite", "mean", "std"), "l2": ("l2",), "min": ("min",), "max": ("max",),
    "absmax": ("absmax",), "zeros": ("zeros",), "nan": ("nan",), "inf": ("inf",), "zero_share": ("zeros", "count"),
}  # fmt: skip
"""Statistic -> what of each rank it is merged from; ``finite`` is the number of finite elements."""


def merged(statistic: str, parts: Mapping[str, Values]) -> Values:
    """The statistic of the tensors of all ranks taken as one; ``parts`` hold [ranks, steps], NaN where unknown.

    Counts and squares add up, extremes are the extremest, means and variances are combined by the number of finite
    elements (Chan, Golub and LeVeque 1979): exact, not a mean of means. Ranks that did not measure a step are left out.
    """
    some = ~np.isnan(parts[NEEDS[statistic][-1]]).all(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = _merged(statistic, parts)
    return np.where(some, value, np.nan)


def _merged(statistic: str, parts: Mapping[str, Values]) -> Values:
    match statistic:
        case "mean" | "std":
            measured = ~np.isnan(parts["mean"])
            n = np.where(measured, parts["finite"], 0.0)
            means = np.where(measured, parts["mean"], 0.0)
            total = n.sum(axis=0)
            mean = (n * means).sum(axis=0) / total
            if statistic == "mean":
                return mean
            spread = np.where(measured, parts["std"], 0.0) ** 2 + np.where(measured, (means - mean) ** 2, 0.0)
            return np.sqrt((n * spread).sum(axis=0) / total)
        case "l2":
            return np.sqrt(np.nansum(parts["l2"] ** 2, axis=0))
        case "min":
            return np.where(np.isnan(parts["min"]), np.inf, parts["min"]).min(axis=0)
        case "max" | "absmax":
            return np.where(np.isnan(parts[statistic]), -np.inf, parts[statistic]).max(axis=0)
        case "zero_share":
            known = ~np.isnan(parts["zeros"])
            return np.nansum(parts["zeros"], axis=0) / np.where(known, parts["count"], 0.0).sum(axis=0)
    return np.nansum(parts[statistic], axis=0)
