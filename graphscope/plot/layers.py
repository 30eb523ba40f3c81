"""Run -> what one layer recorded of itself, of the kind that a panel draws."""

from __future__ import annotations

from typing import TypeVar

from graphscope.errors import UnknownAddress
from graphscope.run import Run
from graphscope.schema import BatchNormStats, DropoutStats

Stats = TypeVar("Stats", BatchNormStats, DropoutStats)


def layer_records(run: Run, kind: type[Stats], fqn: str, call: int) -> list[Stats]:
    """One a captured step, rising, at least one. Raises UnknownAddress for any other layer, saying what there is."""
    records = [one for one in run.layer_series(fqn, call) if isinstance(one, kind)]
    if not records:
        run.layer((fqn, call))  # says what there is instead
        name = kind.__name__.removesuffix("Stats")
        raise UnknownAddress(f"plot.{name.lower()}({fqn!r:.80}, {call}): this layer recorded itself, but is no {name}.")
    return records
