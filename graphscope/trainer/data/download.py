"""A mirror's address -> a file: https only, with progress, taken up again where a connection broke, never too long.

pooch calls this for the transfer; its part is the temporary file, the checksum and the move into place, so that two
processes may fetch the same file at once and nobody ever sees half of it.
"""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

from graphscope.errors import DataError

ATTEMPTS = 4
CONNECT_SECONDS = 4.0
READ_SECONDS = 20.0
_CHUNK = 1 << 16
INSTALL = 'It is not installed: pip install "torch-graphscope[train]".'


class TransferFailed(Exception):
    """One mirror did not send the file; another may."""


def check_url(url: str) -> None:
    """Raises: TransferFailed unless the address is https, or http on this very machine (where tests have a server)."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1")):
        return
    raise TransferFailed(f"{parts.scheme}://{parts.hostname}: only https is used")


class Downloader:
    """What pooch calls with (url, path, pooch) to transfer one file of a known size."""

    def __init__(self, name: str, size: int, *, quiet: bool | None = None) -> None:
        self.name, self.size = name, size
        self.quiet = not sys.stderr.isatty() if quiet is None else quiet

    def __call__(self, url: str, output_file: str, pooch: Any = None) -> None:
        """Raises: TransferFailed once every attempt has failed."""
        import requests

        failure: Exception | None = None
        with open(output_file, "wb") as file, self._progress() as bar:
            for attempt in range(ATTEMPTS):
                if attempt:
                    time.sleep(min(0.25 * 2**attempt, 2.0))
                try:
                    self._transfer(url, file, bar)
                except requests.HTTPError as error:
                    failure = error
                    if error.response is not None and error.response.status_code < 500:
                        break
                except (requests.ConnectTimeout, requests.exceptions.SSLError) as error:
                    failure = error
                    break
                except requests.RequestException as error:
                    failure = error
                    if file.tell() == 0 and isinstance(error, requests.ConnectionError):
                        break  # nobody there: a second attempt only makes the user wait
                if file.tell() == self.size:
                    return
                failure = failure or TransferFailed(f"sent {file.tell():,} of {self.size:,} bytes")
        raise TransferFailed(f"{urlsplit(url).hostname}: {_reason(failure)}")

    def _transfer(self, url: str, file: BinaryIO, bar: Any) -> None:
        """One request; appends to what an earlier one brought."""
        start = file.tell()
        with _opened(url, start) as response:
            response.raise_for_status()
            if start and response.status_code != 206:
                file.seek(0)  # the server starts over, so do we
                file.truncate()
                bar.reset()
            for chunk in response.iter_content(_CHUNK):
                if file.tell() + len(chunk) > self.size:
                    raise TransferFailed(f"{urlsplit(url).hostname}: sends more than the file's {self.size:,} bytes")
                file.write(chunk)
                bar.update(len(chunk))

    @contextlib.contextmanager
    def _progress(self) -> Iterator[Any]:
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            raise DataError(f"downloading {self.name} shows its progress with tqdm. {INSTALL}") from error
        with tqdm(total=self.size, desc=self.name, unit="B", unit_scale=True, disable=self.quiet, leave=False) as bar:
            yield bar


@contextlib.contextmanager
def _opened(url: str, start: int) -> Iterator[Any]:
    """The response to a GET from byte ``start`` on, after redirects, each of which has to be https as well."""
    import requests

    # identity: a server that compresses on the fly would make bytes and sizes disagree.
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
    for _ in range(6):
        check_url(url)
        timeout = (CONNECT_SECONDS, READ_SECONDS)
        with requests.get(url, headers=headers, stream=True, timeout=timeout, allow_redirects=False) as response:
            if not response.is_redirect:
                yield response
                return
            url = urljoin(url, response.headers["location"])
    raise TransferFailed(f"{urlsplit(url).hostname}: redirects without end")


def _reason(error: Exception | None) -> str:
    """The innermost words of an exception, without the addresses that urllib3 repeats."""
    while error is not None and isinstance(getattr(error, "reason", None), Exception):
        error = error.reason  # type: ignore[attr-defined]
    if error is not None and error.args and isinstance(error.args[0], Exception):
        return _reason(error.args[0])
    text = re.sub(r"^<?\w+(\(host=.*?\)| object at 0x\w+)>?: ", "", str(error) or type(error).__name__)
    return text if len(text) <= 200 else text[:197] + "..."
