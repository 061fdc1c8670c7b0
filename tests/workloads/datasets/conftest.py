"""A server to download from, archives to unpack, and the real images, where they are at hand."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from workloads.datasets.contract import Archive

ROOT = Path(__file__).parents[3]


class Server:
    """Serves one body on 127.0.0.1, as well or as badly as its attributes say."""

    def __init__(self) -> None:
        self.body = b""
        self.bodies: dict[str, bytes] = {}  # by a file's name, where there are several
        self.etag = '"one"'
        self.ranges = True
        self.heeds_if_range = True
        self.drops: list[int] = []  # bytes after which the next answers are cut off
        self.statuses: list[int] = []  # errors that the next answers are
        self.hangs = 0.0  # seconds before the body
        self.pace = 0  # bytes that are sent at a time, with a rest in between; 0 for all at once
        self.redirects: list[str] = []  # addresses that the next answers lead to
        self.length = ""  # what is said of the length, where it is not the truth
        self.requests: list[dict[str, str]] = []  # the headers of each
        self.paths: list[str] = []  # the names of the files that were asked for
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.http.server_port}/some/archive.tar.gz"

    def archive(self, **other: Any) -> Archive:
        """What is served, described truly except for what `other` says."""
        truth: dict[str, Any] = {
            "url": self.url,
            "size": len(self.body),
            "sha256": hashlib.sha256(self.body).hexdigest(),
            "md5": hashlib.md5(self.body, usedforsecurity=False).hexdigest(),
            "folder": "folder",
            "files": {"a.bin": 3, "b.bin": 4},
        }
        return Archive(**(truth | other))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        self.requests.append(dict(to.headers.items()))
        self.paths.append(to.path.rsplit("/", 1)[-1])
        self.body = self.bodies.get(self.paths[-1], self.body)
        if self.statuses:
            to.send_error(self.statuses.pop(0))
            return
        if self.redirects:
            to.send_response(302)
            to.send_header("Location", self.redirects.pop(0))
            to.end_headers()
            return
        start = self._start(to)
        if start and start >= len(self.body):
            to.send_error(416)
            return
        to.send_response(206 if start else 200)
        if start:
            last = len(self.body) - 1
            to.send_header("Content-Range", f"bytes {start}-{last}/{len(self.body)}")
        if self.etag:
            to.send_header("ETag", self.etag)
        to.send_header("Content-Length", self.length or str(len(self.body) - start))
        to.end_headers()
        to.wfile.flush()
        time.sleep(self.hangs)
        cut = self.drops.pop(0) if self.drops else len(self.body)
        self._send(to, self.body[start : start + cut])

    def _send(self, to: BaseHTTPRequestHandler, body: bytes) -> None:
        pace = self.pace or len(body) or 1
        for begin in range(0, len(body), pace):
            to.wfile.write(body[begin : begin + pace])
            to.wfile.flush()
            time.sleep(0.01 if self.pace else 0.0)

    def _start(self, to: BaseHTTPRequestHandler) -> int:
        asked = to.headers.get("Range", "")
        if not asked or not self.ranges:
            return 0
        if self.heeds_if_range and to.headers.get("If-Range", self.etag) != self.etag:
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join(5)


class Tar:
    """Builds a gzipped tar in memory, honest or not."""

    def __init__(self) -> None:
        self.bytes = io.BytesIO()
        self.tar = tarfile.TarFile(fileobj=self.bytes, mode="w")

    def add(self, name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, to: str = "") -> Tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, to, len(data)
        self.tar.addfile(info, io.BytesIO(data))
        return self

    def packed(self) -> bytes:
        self.tar.close()
        return gzip.compress(self.bytes.getvalue(), 1)


@pytest.fixture
def tar() -> Tar:
    return Tar()


@pytest.fixture(scope="session")
def tar_of() -> type[Tar]:
    """The builder itself, for tests that make many."""
    return Tar


@pytest.fixture(scope="session")
def real_cifar10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real images in the official layout, re-encoded; unpacked once, in about 15 s."""
    unpack = ROOT.parent / "shared" / "cifar10" / "unpack.py"
    if not unpack.is_file():
        pytest.skip("the real CIFAR-10 images (../shared/cifar10/unpack.py) are not here")
    pytest.importorskip("PIL", reason="Pillow, which decodes the real images, is not installed")
    folder = tmp_path_factory.mktemp("cifar10")
    subprocess.run([sys.executable, unpack, folder], check=True, timeout=300, capture_output=True)
    return folder
