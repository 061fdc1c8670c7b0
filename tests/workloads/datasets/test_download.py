from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from workloads.datasets.contract import Archive, DatasetCorrupt, DownloadFailed
from workloads.datasets.download import CHUNK, download_file, lock, part_of

BODY = bytes(range(256)) * (3 * CHUNK // 256) + b"end"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "room" / "archive.tar.gz"


@pytest.fixture(autouse=True)
def _body(server: Any) -> None:
    server.body = BODY


def download(archive: Archive, target: Path, **options: Any) -> None:
    download_file(archive, target, **({"timeout": 5.0, "pause": 0.001} | options))


def keep(target: Path, data: bytes, version: str | None = None) -> None:
    """Leave a part as an interrupted download does."""
    target.parent.mkdir()
    part_of(target).write_bytes(data)
    if version:
        note = part_of(target).with_name(part_of(target).name + ".json")
        note.write_text('{"version": "' + version.replace('"', '\\"') + '"}')


def test_brings_the_file_and_tells_progress(server: Any, target: Path) -> None:
    told: list[tuple[int, int]] = []
    download(server.archive(), target, progress=lambda *now: told.append(now))
    assert target.read_bytes() == BODY
    assert told == sorted(told) and told[-1] == (len(BODY), len(BODY))
    assert [file.name for file in target.parent.iterdir()] == [target.name]


def test_goes_on_after_dropped_connections(server: Any, target: Path) -> None:
    server.drops = [1000, 2000]
    download(server.archive(), target)
    assert target.read_bytes() == BODY
    assert [r.get("Range") for r in server.requests] == [None, "bytes=1000-", "bytes=3000-"]
    assert [r.get("If-Range") for r in server.requests] == [None, '"one"', '"one"']


def test_gives_up_and_goes_on_at_the_next_call(server: Any, target: Path) -> None:
    server.drops = [1000, 0, 0]
    with pytest.raises(DownloadFailed, match=r"closed early; 1,000 of .* run the same command"):
        download(server.archive(), target, tries=3)
    download(server.archive(), target)
    assert target.read_bytes() == BODY
    assert server.requests[-1]["Range"] == "bytes=1000-"


def test_starts_again_where_the_server_knows_no_ranges(server: Any, target: Path) -> None:
    server.ranges, server.drops = False, [1000]
    download(server.archive(), target)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("heeds", [True, False], ids=["heeds If-Range", "ignores it"])
def test_starts_again_where_the_file_has_changed(server: Any, target: Path, heeds: bool) -> None:
    keep(target, b"?" * 1000, '"zero"')
    server.heeds_if_range = heeds
    download(server.archive(), target)
    assert target.read_bytes() == BODY
    assert server.requests[0]["If-Range"] == '"zero"'


def test_a_weak_etag_is_never_sent(server: Any, target: Path) -> None:
    server.etag, server.drops = 'W/"one"', [1000]
    download(server.archive(), target)
    assert target.read_bytes() == BODY
    assert "If-Range" not in server.requests[1]


@pytest.mark.parametrize("data", [b"", BODY[:7], BODY, BODY + b"more"])
def test_any_part_ends_well(server: Any, target: Path, data: bytes) -> None:
    keep(target, data)
    download(server.archive(), target)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_wrong_checksum_is_told_and_the_file_removed(
    server: Any, target: Path, kind: str
) -> None:
    right = getattr(server.archive(), kind)
    with pytest.raises(DatasetCorrupt, match=f"{kind} is {right}, expected 00; .* removed"):
        download(server.archive(**{kind: "00"}), target)
    assert not target.exists() and not part_of(target).exists()


def test_a_file_that_is_there_already_is_checked(server: Any, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(BODY)
    download(server.archive(), target)
    assert target.read_bytes() == BODY and not server.requests
    target.write_bytes(BODY[::-1])
    with pytest.raises(DatasetCorrupt, match="sha256"):
        download(server.archive(), target)
    assert not target.exists()


def test_a_proxys_page_costs_nothing_of_what_is_kept(server: Any, target: Path) -> None:
    archive = server.archive()
    keep(target, BODY[:1000])
    server.body, server.ranges = b"<html>please log in</html>", False
    with pytest.raises(DownloadFailed, match=r"offers 26 bytes, expected .*--data-dir"):
        download(archive, target)
    assert part_of(target).read_bytes() == BODY[:1000]


def test_an_error_that_stays_is_told_at_once(server: Any, target: Path) -> None:
    server.statuses = [404] * 9
    with pytest.raises(DownloadFailed, match=r"404 Not Found.*--data-dir"):
        download(server.archive(), target)
    assert len(server.requests) == 1


def test_an_error_that_passes_is_waited_for(server: Any, target: Path) -> None:
    server.statuses = [503, 429]
    download(server.archive(), target)
    assert target.read_bytes() == BODY


def test_a_server_that_hangs_is_left(server: Any, target: Path) -> None:
    server.hangs = 1.0
    with pytest.raises(DownloadFailed, match="timed out"):
        download(server.archive(), target, timeout=0.05, tries=2)


def test_no_server(server: Any, target: Path) -> None:
    archive = server.archive(url="http://127.0.0.1:1/archive.tar.gz")
    with pytest.raises(DownloadFailed, match="refused"):
        download(archive, target)


def test_a_full_disk_is_told_before(server: Any, target: Path) -> None:
    with pytest.raises(DownloadFailed, match="bytes free"):
        download(server.archive(size=1 << 60), target)
    assert not server.requests


def test_one_at_a_time(tmp_path: Path) -> None:
    entered = threading.Event()

    def second() -> None:
        with lock(tmp_path / "lock"):
            entered.set()

    thread = threading.Thread(target=second)
    with lock(tmp_path / "lock"):
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(5)
    thread.join()


@pytest.mark.parametrize(
    "address",
    ["file:///etc/hostname", "ftp://127.0.0.1/archive", "data:,archive", "http://[::1", "//["],
)
def test_a_redirection_to_a_file_or_to_nothing_is_refused_at_once(
    server: Any, target: Path, address: str
) -> None:
    server.redirects = [address] * 9
    with pytest.raises(DownloadFailed) as failure:
        download(server.archive(), target)
    assert "\n" not in str(failure.value) and "redirect" in str(failure.value).lower()
    assert len(server.requests) == 1
    assert list(target.parent.iterdir()) == []


def test_redirections_without_end_are_one_line(server: Any, target: Path) -> None:
    server.redirects = [server.url] * 99
    with pytest.raises(DownloadFailed, match="infinite loop") as failure:
        download(server.archive(), target)
    assert "\n" not in str(failure.value)


def test_a_redirection_to_another_host_is_followed_and_checked(server: Any, target: Path) -> None:
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    server.redirects = [elsewhere]
    download(server.archive(), target)
    assert target.read_bytes() == BODY
    assert server.requests[-1]["Host"].startswith("localhost")
    target.unlink()
    server.redirects = [elsewhere]
    with pytest.raises(DatasetCorrupt, match="sha256 is "):
        download(server.archive(sha256="0" * 64), target)
    assert list(target.parent.iterdir()) == []


def test_a_slow_server_is_waited_for_as_long_as_bytes_come(server: Any, target: Path) -> None:
    server.pace = len(BODY) // 40
    began = time.monotonic()
    download(server.archive(), target, timeout=0.2, tries=1)
    assert time.monotonic() - began > 0.2
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("length", ["many", "-5", "1e3"])
def test_a_length_that_is_none_is_passed_over(server: Any, target: Path, length: str) -> None:
    server.length = length
    download(server.archive(), target)
    assert target.read_bytes() == BODY
