"""A folder of the user's -> the bytes of a data set's files. Only ever read: nothing is renamed, written or fetched."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from graphscope.errors import DataError
from graphscope.trainer.data.bounded import read_file


def find(folder: Path, names: Sequence[str], places: Sequence[str]) -> Path | None:
    """The first of ``places`` below ``folder`` ("" is the folder itself) that holds one of these files."""
    for place in places:
        candidate = folder / place
        if any((candidate / name).exists() for name in names):
            return candidate
    return None


def read(folder: Path, names: Sequence[str], most: int, also: str = "") -> dict[str, bytes]:
    """All files by name; where one is missing, the one without the ending ``also`` is taken for it.

    Raises: DataError that names the file which is missing or cannot be read.
    """
    found = {}
    for name in names:
        path = folder / name
        if not path.exists() and also and (folder / name.removesuffix(also)).exists():
            path = folder / name.removesuffix(also)
        if not path.exists():
            raise DataError(f"{path}: is missing, although other files of the data set are there.")
        found[name] = read_file(path, most)
    return found


def provenance(folder: Path, files: dict[str, bytes], official: dict[str, str]) -> str:
    """Whether every file has the official checksum, in words."""
    verified = all(hashlib.sha256(data).hexdigest() == official.get(name) for name, data in files.items())
    return f"{'sha256 checked' if verified else 'unverified: not the official checksums'} ({folder})"


def missing(name: str, folder: Path, wanted: Sequence[str]) -> DataError:
    """The error for a folder that holds nothing of the data set."""
    what = "is not a folder" if not folder.is_dir() else "holds none of its files"
    return DataError(
        f"{name}: {folder} {what}. Wanted {', '.join(wanted)}, there or in a folder named {name}. "
        "Leave data_dir out to have them downloaded."
    )
