"""A data set's name -> ImageSet. The list of names with their descriptions is ``settings.DATASETS``."""

from __future__ import annotations

from collections.abc import Callable

from graphscope.errors import DataError
from graphscope.trainer.data.digits import digits
from graphscope.trainer.data.images import ImageSet
from graphscope.trainer.data.shapes import shapes

# Each loader takes the folder of the user's own copy; the two that need no file ignore it.
LOADERS: dict[str, Callable[[str | None], ImageSet]] = {
    "digits": lambda _: digits(),
    "shapes": lambda _: shapes(),
}


def named(name: str, data_dir: str | None = None) -> ImageSet:
    """The data set called ``name``, read from ``data_dir``, the cache or the network where it has files.

    Raises: DataError if it cannot be had, or is damaged.
    """
    if name not in LOADERS:
        raise DataError(f"named({name!r}): no data set is called that. There are: {', '.join(LOADERS)}.")
    return LOADERS[name](data_dir)
