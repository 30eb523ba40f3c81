"""StepStats of a run -> one pandas table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from graphscope.errors import UnknownName
from graphscope.run.addresses import Addresses
from graphscope.schema import COSINE_ESTIMATE, ESTIMATE, NOT_MEASURED, ROLES, StepStats

if TYPE_CHECKING:
    import pandas

_MOMENTS = ("mean", "std", "min", "max", "absmax", "l2")
_COUNTS = ("zeros", "nan", "pos_inf", "neg_inf")


def dataframe_of(all_stats: Iterable[StepStats], addresses: Addresses) -> pandas.DataFrame:
    """One row a tensor and captured pass. What was not measured is missing (NaN), not zero.

    Raises UnknownName where pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise UnknownName(
            "run.to_dataframe(): pandas is not installed. Install it (pip install pandas), "
            "or use run.series(address, stat), which returns numpy arrays."
        ) from None
    names = [(a.fqn, a.call, a.output) for a in addresses]
    rows: dict[str, list[Any]] = {name: [] for name in ("step", "pass_index", "number", "role", "flags", "count")}
    rows |= {name: [] for name in (*_MOMENTS, *_COUNTS, "cosine")}
    dtypes: list[str] = []
    shapes: list[tuple[int, ...]] = []
    for stats in all_stats:
        n = len(stats.address)
        rows["step"].append(np.full(n, stats.step))
        rows["pass_index"].append(np.full(n, stats.pass_index))
        rows["number"].append(stats.address)
        for name in ("role", "flags", "count", *_MOMENTS, *_COUNTS):
            rows[name].append(getattr(stats, name))
        rows["cosine"].append(np.full(n, np.nan) if stats.cosine is None else stats.cosine)
        dtypes += [stats.dtypes[code] for code in stats.dtype.tolist()]
        ends = np.cumsum(stats.ndim, dtype=np.int64).tolist()
        sizes = stats.sizes.tolist()
        shapes += [tuple(sizes[end - ndim : end]) for end, ndim in zip(ends, stats.ndim.tolist(), strict=True)]
    columns = {name: np.concatenate(parts) if parts else np.array([]) for name, parts in rows.items()}
    known = columns["number"] < len(names)
    places = [names[n] if ok else ("", 0, 0) for n, ok in zip(columns["number"].tolist(), known.tolist(), strict=True)]
    unmeasured = (columns["flags"].astype(int) & NOT_MEASURED) != 0
    roles = [ROLES[code] if code < len(ROLES) else f"role {code}" for code in columns["role"].astype(int).tolist()]
    table = {
        "step": columns["step"],
        "pass_index": columns["pass_index"],
        "fqn": [place[0] for place in places],
        "call": [place[1] for place in places],
        "output": [place[2] for place in places],
        "role": roles,
        "shape": shapes,
        "dtype": dtypes,
        "count": columns["count"],
        **{name: np.where(unmeasured, np.nan, columns[name].astype(float)) for name in (*_MOMENTS, *_COUNTS)},
        "estimate": (columns["flags"].astype(int) & ESTIMATE) != 0,
        "cosine": columns["cosine"].astype(float),
        "cosine_estimate": (columns["flags"].astype(int) & COSINE_ESTIMATE) != 0,
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        table["inf"] = table["pos_inf"] + table["neg_inf"]
        table["zero_share"] = np.where(columns["count"] > 0, table["zeros"] / columns["count"], np.nan)
    return pandas.DataFrame(table)[known]
