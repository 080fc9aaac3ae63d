"""Named files in a folder or in one tar file: what a registry is exported to and imported from.

Written whole or not at all. Read one file at a time and never unpacked: a name is compared with the few forms that an
export has, so it cannot lead anywhere, and no file is read beyond the length that its form allows.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import tarfile
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from worldsim.errors import ConfigurationError, IntegrityError, StorageError
from worldsim.registry.artefact import MAX_MODEL_BYTES
from worldsim.registry.cards import MAX_CARD_BYTES
from worldsim.registry.interaction_artefact import MAX_INTERACTION_BYTES

__all__ = ["INDEX", "INTERACTIONS", "MODEL_FILES", "SUMS", "Writer", "files_in", "write_archive"]

INDEX, SUMS = "registry.json", "SHA256SUMS"
INTERACTIONS = "interactions"
"""Folder of the kinds of interaction."""

MODEL_FILES = {"config.json": 4 * MAX_CARD_BYTES, "README.md": 4 * MAX_CARD_BYTES, "model.safetensors": MAX_MODEL_BYTES}
"""Files of one model, and how long each may be."""

_LISTS = {INDEX: 1 << 30, SUMS: 1 << 30}
_SEGMENT = r"[a-z0-9](?:[._-]?[a-z0-9])*"
_MODEL_FILE = re.compile(
    rf"(?:models|{INTERACTIONS})/{_SEGMENT}/{_SEGMENT}/[1-9][0-9]{{0,8}}/(config\.json|README\.md|model\.safetensors)"
)
_TAR = (".tar", ".tar.gz", ".tgz")
_OTHER_ARCHIVES = (".zip", ".7z", ".rar", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".gz", ".xz")


class Writer(Protocol):
    """Takes files one after the other."""

    def __call__(self, name: str, data: bytes) -> None:
        """Write one file."""


@contextmanager
def write_archive(path: Path) -> Iterator[Writer]:
    """Give a writer of the files of a new archive at `path`: a tar file by its ending, else a folder.

    The same files give the same bytes. `path` appears when the block ends, and not if it raises.

    Raises:
        ConfigurationError: `path` is there already, or ends as an archive of another format.
        StorageError: the disk refused.
    """
    if path.name.endswith(_OTHER_ARCHIVES) and not path.name.endswith(_TAR):
        raise ConfigurationError(
            f"{path} ends as an archive of another format, expected {', '.join(_TAR)} or a folder."
        )
    if path.exists():
        raise ConfigurationError(f"{path} is there already; nothing is overwritten. Choose another name.")
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _tar_writer(part, path) if path.name.endswith(_TAR) else _folder_writer(part) as write:
            yield write
        os.replace(part, path)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"cannot write {path}: {error.strerror or error}. Nothing is left of it.") from error
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def files_in(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file of the archive at `path`.

    Raises:
        StorageError: it cannot be read.
        IntegrityError: it is truncated, or holds what no export holds.
    """
    found = _in_folder(path) if path.is_dir() else _in_tar(path)
    try:
        yield from found
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise IntegrityError(f"{path} is truncated, or no tar file: {error}. Nothing was imported.") from error
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"cannot read {path}: {error.strerror or error}.") from error


@contextmanager
def _folder_writer(folder: Path) -> Iterator[Writer]:
    def write(name: str, data: bytes) -> None:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    folder.mkdir()
    yield write


@contextmanager
def _tar_writer(part: Path, path: Path) -> Iterator[Writer]:
    with part.open("wb") as raw:
        squeezed = None if path.name.endswith(".tar") else gzip.GzipFile("", "wb", fileobj=raw, mtime=0)
        with tarfile.open(fileobj=squeezed or raw, mode="w|", format=tarfile.PAX_FORMAT) as tar:

            def write(name: str, data: bytes) -> None:
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(data), 0o644
                tar.addfile(member, io.BytesIO(data))

            yield write
        if squeezed is not None:
            squeezed.close()
        raw.flush()
        os.fsync(raw.fileno())


def _in_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for place, below, names in os.walk(folder):
        below.sort()
        for name in sorted(names):
            file = Path(place) / name
            relative = file.relative_to(folder).as_posix()
            regular = file.is_file() and not file.is_symlink()
            _check_member(str(folder), relative, regular, file.lstat().st_size)
            yield relative, file.read_bytes()


def _in_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r|*") as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if member.isdir():
                continue
            _check_member(str(path), name, member.isreg(), member.size)
            file = tar.extractfile(member)
            assert file is not None, "a regular member has content"
            data = file.read()
            if len(data) != member.size:
                raise IntegrityError(f"{path} is truncated in {name!r}. Nothing was imported.")
            yield name, data


def _check_member(where: str, name: str, regular: bool, size: int) -> None:
    longest = _LISTS.get(name)
    if longest is None and _MODEL_FILE.fullmatch(name) is not None:
        longest = MODEL_FILES[name.rpartition("/")[2]]
        if name.startswith(f"{INTERACTIONS}/"):  # which an import keeps in memory, all of them
            longest = min(longest, MAX_INTERACTION_BYTES)
    if longest is None or not regular:
        raise IntegrityError(f"{where} holds {ascii(name)[:120]}, which no export holds. Nothing was imported.")
    if size > longest:
        raise IntegrityError(f"{where}: {name} has {size} bytes, expected at most {longest}. Nothing was imported.")
