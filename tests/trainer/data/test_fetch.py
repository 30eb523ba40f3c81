"""Downloads, against a server on this machine that behaves well, badly and not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tqdm import tqdm

from graphscope.errors import DataError
from graphscope.trainer.data import download
from graphscope.trainer.data.fetch import official_files
from graphscope.trainer.data.sources import CIFAR10, CIFAR100, FASHION_MNIST, MNIST, Source, SourceFile

CONTENT = os.urandom(300_000)


class Server(ThreadingHTTPServer):
    """Serves ``content`` by path; ``behave`` says how each request is answered."""

    def __init__(self, content: dict[str, bytes], behave: str = "well") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.behave = content, behave
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        number, behave = len(self.server.requests), self.server.behave
        data = self.server.content.get(self.path.rsplit("/", 1)[-1])
        if data is None or (behave == "fails first" and number == 1):
            return self.send_error(404 if data is None else 503)
        if behave.startswith("redirects to "):
            self.send_response(302)
            self.send_header("Location", behave.removeprefix("redirects to ").rstrip("/") + self.path)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and behave != "ignores ranges" else 0
        body = data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if behave in ("cuts", "ignores ranges") and number <= 2:
            body = body[: len(data) // 3]
            self.close_connection = True
        self.wfile.write(body)
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    servers = []

    def start(content: dict[str, bytes], behave: str = "well") -> Server:
        server = Server(content, behave)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def source(*mirrors: str, content: bytes = CONTENT) -> Source:
    file = SourceFile(name="a.bin", size=len(content), sha256=hashlib.sha256(content).hexdigest())
    return Source(name="test-set", files=(file,), mirrors=mirrors)


def test_a_file_is_fetched_once_and_then_read_from_the_cache(serve, tmp_path):
    server = serve({"a.bin": CONTENT})
    for _ in range(2):
        assert official_files(source(server.url), tmp_path) == {"a.bin": CONTENT}
    assert len(server.requests) == 1
    assert [path.name for path in (tmp_path / "test-set").iterdir()] == ["a.bin"]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(serve, tmp_path):
    server = serve({"a.bin": CONTENT}, "cuts")
    assert official_files(source(server.url), tmp_path) == {"a.bin": CONTENT}
    first, *later = [asked for _, asked in server.requests]
    assert first is None and len(later) == 2
    starts = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in later]
    assert 0 < starts[0] < starts[1]


def test_a_server_that_cannot_resume_is_read_from_the_start(serve, tmp_path):
    server = serve({"a.bin": CONTENT}, "ignores ranges")
    assert official_files(source(server.url), tmp_path) == {"a.bin": CONTENT}


def test_a_server_that_is_busy_is_asked_again(serve, tmp_path):
    server = serve({"a.bin": CONTENT}, "fails first")
    assert official_files(source(server.url), tmp_path) == {"a.bin": CONTENT}
    assert len(server.requests) == 2


def test_the_next_mirror_takes_over(serve, tmp_path):
    wrong = serve({"a.bin": os.urandom(len(CONTENT))})
    too_long = serve({"a.bin": CONTENT + b"!"})
    empty = serve({})
    short = serve({"a.bin": CONTENT[:1000]})
    good = serve({"a.bin": CONTENT})
    mirrors = [server.url for server in (wrong, too_long, empty, short, good)]
    assert official_files(source(*mirrors), tmp_path) == {"a.bin": CONTENT}
    assert all(server.requests for server in (wrong, too_long, empty, short))


def test_when_every_mirror_fails_it_says_why_and_what_to_do(serve, tmp_path):
    wrong, empty = serve({"a.bin": b"x" * len(CONTENT)}), serve({})
    closed = serve({})
    closed.shutdown()
    closed.server_close()
    wanted = source(wrong.url, empty.url, closed.url)
    with pytest.raises(DataError) as error:
        official_files(wanted, tmp_path)
    words = str(error.value)
    for part in (
        "other bytes",
        "404",
        "refused",
        wanted.files[0].sha256,
        str(tmp_path / "test-set" / "a.bin"),
        "data_dir",
    ):
        assert part in words
    assert list((tmp_path / "test-set").iterdir()) == []


def test_plain_http_is_used_on_this_machine_alone(serve, tmp_path):
    with pytest.raises(DataError, match="only https"):
        official_files(source("http://example.org/"), tmp_path)
    sly = serve({"a.bin": CONTENT}, "redirects to http://example.org")
    with pytest.raises(DataError, match=r"http://example\.org: only https"):
        official_files(source(sly.url), tmp_path)
    with pytest.raises(DataError, match="only https"):
        official_files(source("file:///etc/"), tmp_path)


def test_redirects_are_followed_but_not_for_ever(serve, tmp_path):
    target = serve({"a.bin": CONTENT})
    assert official_files(source(serve({"a.bin": b""}, f"redirects to {target.url}").url), tmp_path / "1")
    circle = serve({"a.bin": CONTENT})
    circle.behave = f"redirects to {circle.url}"
    with pytest.raises(DataError, match="redirects without end"):
        official_files(source(circle.url), tmp_path / "2")


@pytest.mark.parametrize("damage", [b"", b"x" * len(CONTENT), CONTENT[:-1], CONTENT + b"!"])
def test_a_damaged_file_in_the_cache_is_set_aside_and_fetched_again(serve, tmp_path, damage):
    server = serve({"a.bin": CONTENT})
    path = tmp_path / "test-set" / "a.bin"
    path.parent.mkdir()
    path.write_bytes(damage)
    with pytest.warns(UserWarning, match="damaged"):
        assert official_files(source(server.url), tmp_path) == {"a.bin": CONTENT}
    aside = [p for p in path.parent.iterdir() if ".damaged-" in p.name]
    assert [p.read_bytes() for p in aside] == [damage]
    tag = hashlib.sha256(damage).hexdigest()[:12] if len(damage) <= len(CONTENT) else "other"
    assert aside[0].name == f"a.bin.damaged-{tag}"


def test_two_at_once_get_the_same_file(serve, tmp_path):
    server = serve({"a.bin": CONTENT})
    with warnings.catch_warnings(), ThreadPoolExecutor(4) as pool:
        warnings.simplefilter("error")
        results = list(pool.map(lambda _: official_files(source(server.url), tmp_path), range(4)))
    assert results == [{"a.bin": CONTENT}] * 4
    assert [p.name for p in (tmp_path / "test-set").iterdir()] == ["a.bin"]


FETCHES = """
import hashlib, sys
from pathlib import Path
from graphscope.trainer.data.fetch import official_files
from graphscope.trainer.data.sources import Source, SourceFile

url, cache, size, sha256 = sys.argv[1:]
source = Source(name="test-set", files=(SourceFile(name="a.bin", size=int(size), sha256=sha256),), mirrors=(url,))
print(hashlib.sha256(official_files(source, Path(cache))["a.bin"]).hexdigest())
"""


def test_two_processes_at_once_get_the_same_file(serve, tmp_path):
    server = serve({"a.bin": CONTENT})
    (file,) = source(server.url).files
    command = [sys.executable, "-W", "error", "-c", FETCHES, server.url, str(tmp_path), str(file.size), file.sha256]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in started]
    assert [out.strip() for out, _ in outputs] == [file.sha256] * 2, outputs
    assert [p.name for p in (tmp_path / "test-set").iterdir()] == ["a.bin"]


@pytest.mark.parametrize("behave", ["well", "cuts", "ignores ranges"])
def test_progress_counts_the_bytes_of_the_whole_file(serve, tmp_path, capsys, monkeypatch, behave):
    seen = []

    class Bar(tqdm):
        def close(self) -> None:
            if not self.disable:
                seen.append((self.desc, self.n, self.total))
            super().close()

    monkeypatch.setattr("tqdm.auto.tqdm", Bar)
    url = f"{serve({'a.bin': CONTENT}, behave).url}a.bin"
    download.Downloader("test-set: a.bin", len(CONTENT), quiet=False)(url, str(tmp_path / "a.bin"))
    assert ("test-set: a.bin", len(CONTENT), len(CONTENT)) in seen
    assert "test-set: a.bin:   0%" in capsys.readouterr().err
    download.Downloader("test-set: a.bin", len(CONTENT), quiet=True)(url, str(tmp_path / "a.bin"))
    assert capsys.readouterr().err == ""


def test_a_cache_that_cannot_be_written_is_said(serve, tmp_path):
    (tmp_path / "test-set").write_bytes(b"a file where the folder should be")
    with pytest.raises(DataError, match="cannot be written|cannot be read"):
        official_files(source(serve({"a.bin": CONTENT}).url), tmp_path)


def test_the_real_sources_are_https_with_a_checksum_and_a_size():
    for known in (MNIST, FASHION_MNIST, CIFAR10, CIFAR100):
        assert len(known.mirrors) >= 2
        assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in known.mirrors)
        for file in known.files:
            assert len(file.sha256) == 64 and int(file.sha256, 16) and file.size > 1000


def test_the_official_mnist_files_are_the_ones_that_are_asked_for(serve, tmp_path, shared_data: Path):
    content = {file.name: (shared_data / "mnist" / file.name).read_bytes() for file in MNIST.files}
    server = serve(content)
    local = Source(name="mnist", files=MNIST.files, mirrors=(server.url,))
    assert official_files(local, tmp_path) == content
    assert {file.name: file.size for file in MNIST.files} == {name: len(data) for name, data in content.items()}
