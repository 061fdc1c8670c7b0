"""Bring a published file here safely: what came is kept, checked before it is used.

urllib honours the usual proxy variables and SSL_CERT_FILE.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workloads.datasets.contract import DatasetCorrupt, DownloadFailed, Progress, Published

CHUNK = 1 << 18  # bytes read at a time
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})  # HTTP statuses worth another try


class _Interrupted(Exception):
    """The transfer stopped before its end; what came is kept."""


class _Unusable(_Interrupted):
    """What came before cannot be gone on with: start again."""


class _OnlyHttp(urllib.request.HTTPRedirectHandler):
    """Follows a redirection to any host, but to no file and no other protocol."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the next request. Raises HTTPError where its address is not of the web."""
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            why = f"and redirects to {newurl}, which is not followed"
            raise urllib.error.HTTPError(newurl, code, why, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a file's lock, waiting for the process that has it; a process that dies frees it.

    The wait ends, since the other's every read has a time limit.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def part_of(target: Path) -> Path:
    """Where a download that is not complete is kept."""
    return target.with_name(target.name + ".part")


def download_file(
    published: Published,
    target: Path,
    progress: Progress | None = None,
    *,
    timeout: float = 30.0,
    tries: int = 4,
    pause: float = 0.5,
) -> None:
    """Fetch the file to `target`, going on from a `.part` beside it, and check its hashes.

    A `target` that is there already, by a user's hand or an earlier run's, is checked as well.
    `timeout` (s) bounds connecting and every read. After `tries` attempts in a row that bring
    nothing it gives up; between them it waits `pause` (s), doubled each time. Call it under a
    lock. Raises DownloadFailed (what came is kept) and DatasetCorrupt (what came is removed).
    """
    part = part_of(target)
    part.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        target.rename(part)
    _need_room(part.parent, published.size - _size(part))
    failures = 0
    while (before := _size(part)) != published.size:
        try:
            _transfer(published, part, progress, timeout)
        except _Interrupted as error:
            if isinstance(error, _Unusable):
                part.unlink()
            failures = 1 if _size(part) > before else failures + 1
            if failures >= tries:
                raise DownloadFailed(
                    f"{published.url}: {error}; {_size(part):,} of {published.size:,} bytes are here "
                    "and kept: run the same command again to go on"
                ) from error
            time.sleep(pause * 2 ** (failures - 1))
    _check(published, part)
    part.rename(target)
    _note_of(part).unlink(missing_ok=True)


def _transfer(published: Published, part: Path, progress: Progress | None, timeout: float) -> None:
    """One attempt: ask for what is missing, append what comes. Raises _Interrupted, DownloadFailed.

    A server that knows no ranges, or whose file is another by now, sends it all: start again.
    """
    start = _size(part)
    if start > published.size:
        raise _Unusable("more bytes were kept than the file has")
    version = _known_version(part) if start else ""
    with _ask(published.url, start, version, timeout) as response:
        start = _offset(response, start, version)
        length = response.length  # None where the server does not tell it, or tells nonsense
        if length is not None and start + length != published.size:
            raise DownloadFailed(
                f"{published.url}: the server offers {start + length:,} bytes, expected "
                f"{published.size:,}; is a proxy in the way? Fetch it otherwise and use --data-dir"
            )
        _note_of(part).write_text(json.dumps({"version": _version(response)}), encoding="utf-8")
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            for chunk in _chunks(response):
                start += len(chunk)
                if start > published.size:
                    raise _Unusable(f"the server sends more than {published.size:,} bytes")
                file.write(chunk)
                if progress:
                    progress(start, published.size)
    if start < published.size:
        raise _Interrupted("the connection was closed early")


def _ask(url: str, start: int, version: str, timeout: float) -> http.client.HTTPResponse:
    """The server's answer for the bytes from `start` on. Raises _Interrupted, DownloadFailed."""
    # The address is a dataset's constant, and what comes is checked by its hash, from whatever host a
    # redirection leads to.
    request = urllib.request.Request(url, headers={"User-Agent": "samestep"})  # noqa: S310
    if start:
        request.add_header("Range", f"bytes={start}-")
        if version:
            request.add_header("If-Range", version)
    opener = urllib.request.build_opener(_OnlyHttp)
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        answer = " ".join(f"the server says {error.code} {error.reason}".split())
        error.close()
        if error.code == 416:  # no such range
            raise _Unusable(answer) from error
        if error.code in TRANSIENT:
            raise _Interrupted(answer) from error
        raise DownloadFailed(f"{url}: {answer}; fetch it otherwise and use --data-dir") from error
    except (OSError, http.client.HTTPException) as error:  # URLError and time-outs are OSErrors
        raise _Interrupted(str(getattr(error, "reason", error)) or repr(error)) from error
    except ValueError as error:
        raise DownloadFailed(f"{url}: redirected to what is no address: {error}") from error
    return response


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The answer's bytes, a chunk at a time. Raises _Interrupted where the network fails."""
    while True:
        try:
            chunk = response.read1(CHUNK)  # read1: what has come is kept, should the rest not
        except (OSError, http.client.HTTPException) as error:
            raise _Interrupted(str(error) or repr(error)) from error
        if not chunk:
            return
        yield chunk


def _offset(response: http.client.HTTPResponse, start: int, version: str) -> int:
    """Where the answer's bytes begin: `start`, or 0 where the server sends everything.

    Raises _Unusable where it sends another range, or a range of another version of the file.
    """
    if response.status != 206:
        return 0
    range_header = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if not range_header or int(range_header[1]) != start:
        raise _Unusable("the server sent a range that was not asked for")
    if version and _version(response) != version:
        raise _Unusable("the file on the server has changed")
    return start


def _version(response: http.client.HTTPResponse) -> str:
    """What If-Range may name (RFC 9110, 13.1.5): a strong ETag, else the date, else ""."""
    tag = response.headers.get("ETag", "")
    return str(
        tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    )


def _note_of(part: Path) -> Path:
    """Where the version of the file that the part is of is kept."""
    return part.with_name(part.name + ".json")


def _known_version(part: Path) -> str:
    """The version that the part is of; "" where it is unknown: the checksum still guards."""
    try:
        return str(json.loads(_note_of(part).read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _check(published: Published, part: Path) -> None:
    """Compare both hashes; where one differs, remove the file and raise DatasetCorrupt."""
    with part.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    for name, expected, got in (("sha256", published.sha256, sha256), ("md5", published.md5, md5)):
        if got != expected:
            part.unlink()
            _note_of(part).unlink(missing_ok=True)
            raise DatasetCorrupt(
                f"{published.url}: {name} is {got}, expected {expected}; the file was removed: "
                "fetch it again, or otherwise and use --data-dir"
            )


def _size(path: Path) -> int:
    """Bytes in the file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def _need_room(folder: Path, size: int) -> None:
    """Raise DownloadFailed where the disk cannot take `size` more bytes."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise DownloadFailed(f"{folder}: {free:,} bytes free, {size:,} needed; free some space")
