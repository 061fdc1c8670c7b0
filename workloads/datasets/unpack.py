"""Take the wanted files out of what was fetched: a gzipped tar is not trusted."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from workloads.datasets.contract import Archive, DatasetCorrupt, Published

MEMBERS = 1000  # more than that in an archive is no dataset of ours
SLACK = 1 << 20  # bytes that unwanted files (a readme) may add to the wanted ones


def unpack(path: Path, published: Published, folder: Path) -> None:
    """Put what is wanted of a fetched file into `folder`. Raises DatasetCorrupt, OSError."""
    if isinstance(published, Archive):
        unpack_archive(path, published, folder)
    else:
        shutil.copyfile(path, folder / published.name)


def unpack_archive(path: Path, archive: Archive, folder: Path) -> None:
    """Write the archive's wanted files into `folder`, flat, and nothing else anywhere.

    The archive's own paths are only compared, never used: the names written are the wanted ones.
    Refused: a path that leaves the folder, a link, a device, a file of another size than is
    wanted, and more bytes than are wanted. Raises DatasetCorrupt with the member's name.
    """
    wanted = {f"{archive.folder}/{name}": name for name in archive.files}
    unpacked: set[str] = set()
    total = 0
    try:
        with tarfile.open(path, "r:gz") as tar:
            for count, member in enumerate(tar):
                total += member.size
                _refuse(path, member, folder)
                if count >= MEMBERS or total > sum(archive.files.values()) + SLACK:
                    raise DatasetCorrupt(f"{path}: holds more than was published; not unpacked")
                name = wanted.get(member.name)
                if name is None or not member.isfile():
                    continue
                if member.size != archive.files[name] or name in unpacked:
                    raise DatasetCorrupt(
                        f"{path}: {member.name}: {member.size:,} bytes, expected once, with "
                        f"{archive.files[name]:,}"
                    )
                _copy(tar, member, folder / name)
                unpacked.add(name)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # the disk's fault, not the archive's
            raise
        raise DatasetCorrupt(f"{path}: broken or truncated archive ({error})") from error
    if missing := sorted(archive.files.keys() - unpacked):
        raise DatasetCorrupt(f"{path}: lacks {', '.join(missing)}")


def _refuse(path: Path, member: tarfile.TarInfo, folder: Path) -> None:
    """Raise DatasetCorrupt for a member that an honest dataset does not have."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise DatasetCorrupt(f"{path}: {member.name!r} would leave the folder; not unpacked")
    if not (member.isreg() or member.isdir()):
        raise DatasetCorrupt(f"{path}: {member.name!r} is a link or a device; not unpacked")
    if hasattr(tarfile, "data_filter"):  # since Python 3.11.4; the checks above do not need it
        try:
            tarfile.data_filter(member, str(folder))
        except tarfile.FilterError as error:
            raise DatasetCorrupt(f"{path}: {error}; not unpacked") from error


def _copy(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write one member, which is a regular file, to `target`, which must not exist."""
    source = tar.extractfile(member)
    if source is None:
        raise DatasetCorrupt(f"{tar.name!s}: {member.name}: no file")
    with source, target.open("xb") as file:
        shutil.copyfileobj(source, file)
