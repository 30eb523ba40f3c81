"""Columns of a packed table -> the text of its header that names them.

From step to step of one run only the number of bins that are not empty changes; the rest of the text is made once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from graphscope.run.fields import FIELDS
from graphscope.schema import PackedStats

_FIELDS = FIELDS[PackedStats.kind].arrays
ORDER = tuple(sorted(_FIELDS, key=lambda name: -_FIELDS[name].dtype.itemsize))
"""All columns in the order of the data: the widest numbers first, so that each one is aligned."""


class ColumnsText(NamedTuple):
    """The text for any number of bins."""

    before: str
    """Up to the number of bins."""
    behind: str
    """From there on; to be formatted with the number of bins and the ends of the columns from ``bins`` on."""
    begin: int
    """Where ``bins`` begins, in bytes of the data."""
    sizes: tuple[int, ...]
    """Bytes of the columns behind ``bins``."""

    def of(self, bins: int) -> tuple[str, int]:
        """The text for so many bins, and how many bytes all data are."""
        end = self.begin + 2 * bins
        numbers = [bins, end]
        for size in self.sizes:
            numbers += end, end + size
            end += size
        return self.before + self.behind % tuple(numbers), end


@lru_cache(maxsize=256)
def columns_text(columns: tuple[tuple[str, int], ...]) -> ColumnsText:
    """(name, length) of the columns that are there, in the order of the data; the length of ``bins`` is not looked at.

    Raises KeyError for an unknown name, ValueError without ``bins``.
    """
    names = [name for name, _ in columns]
    split = names.index("bins")
    at = 0
    before = ""
    for name, length in columns[:split]:
        field = _FIELDS[name]
        end = at + length * field.dtype.itemsize
        before += f',"{name}":{{"dtype":"{field.code}","shape":[{length}],"data_offsets":[{at},{end}]}}'
        at = end
    before += f',"bins":{{"dtype":"{_FIELDS["bins"].code}","shape":['
    behind = f'%d],"data_offsets":[{at},%d]}}'
    sizes = []
    for name, length in columns[split + 1 :]:
        field = _FIELDS[name]
        behind += f',"{name}":{{"dtype":"{field.code}","shape":[{length}],"data_offsets":[%d,%d]}}'
        sizes.append(length * field.dtype.itemsize)
    return ColumnsText(before, behind, at, tuple(sizes))
