"""A Source -> the bytes of its official files, out of the user's cache; what is not there is downloaded.

Checksums are verified at each load, not only after a download: others may be able to write where the cache lies.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import warnings
from pathlib import Path

from graphscope.errors import DataError
from graphscope.trainer.data.bounded import read_file
from graphscope.trainer.data.download import INSTALL, Downloader, TransferFailed
from graphscope.trainer.data.sources import Source, SourceFile


def cache_folder() -> Path:
    """The folder of this user's cache where data sets lie. Raises: DataError where pooch is not installed."""
    try:
        import pooch
    except ImportError as error:
        raise DataError(
            f"data sets are downloaded with pooch. {INSTALL} digits and shapes need no download."
        ) from error
    return Path(pooch.os_cache("graphscope")) / "data"


def official_files(source: Source, cache: Path | None = None) -> dict[str, bytes]:
    """The files of ``source`` by name, each with the official size and sha256.

    Raises: DataError if one can neither be found nor downloaded; it says why, and where to put the file by hand.
    """
    folder = (cache_folder() if cache is None else cache) / source.name
    return {file.name: _official(source, file, folder / file.name) for file in source.files}


def _official(source: Source, file: SourceFile, path: Path) -> bytes:
    if os.path.lexists(path):
        try:
            data = read_file(path, file.size)
            found = hashlib.sha256(data).hexdigest()
        except DataError as error:  # too large, or no file at all
            data, found = b"", str(error)
        if found == file.sha256:
            return data
        _set_aside(file, path, found)
    _download(source, file, path)
    data = read_file(path, file.size)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise DataError(f"{path}: changed since it was downloaded. Is something else writing there?")
    return data


def _set_aside(file: SourceFile, path: Path, found: str) -> None:
    tag = found[:12] if len(found) == 64 else "other"
    aside = path.with_name(f"{path.name}.damaged-{tag}")
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        os.replace(path, aside)
    warnings.warn(
        f"{path} is damaged (found {found}, wanted sha256 {file.sha256}); kept as {aside.name}, and fetched again.",
        stacklevel=4,
    )


def _download(source: Source, file: SourceFile, path: Path) -> None:
    import pooch

    # The path is fetched only where it is missing, so pooch's own words about it would only repeat ours.
    pooch.get_logger().setLevel("WARNING")
    failures = []
    for mirror in source.mirrors:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            pooch.retrieve(
                mirror + file.name,
                known_hash=f"sha256:{file.sha256}",
                fname=path.name,
                path=path.parent,
                downloader=Downloader(f"{source.name}: {file.name}", file.size),
            )
            return
        except TransferFailed as error:
            failures.append(str(error))
        except ValueError:
            failures.append(f"{mirror} sent other bytes than the official file's (sha256)")
        except OSError as error:
            raise DataError(f"{source.name}: {path} cannot be written: {error.strerror or error}.") from error
    raise DataError(
        f"{source.name}: {file.name} could not be downloaded ({'; '.join(failures)}). Put the official file (sha256 "
        f"{file.sha256}) at {path}, or name the folder where you have it with data_dir=. "
        "digits and shapes need no download."
    )
