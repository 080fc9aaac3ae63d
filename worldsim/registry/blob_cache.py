"""Models fetched from a server, kept on this machine by their sha256, up to a size."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from platformdirs import user_cache_path

from worldsim.errors import CardError
from worldsim.registry.artefact import sha256_of
from worldsim.registry.cards import card_from_json, dump_card
from worldsim.types.card import ModelCard

__all__ = ["BlobCache"]

FOLDER_VARIABLE = "WORLDSIM_CACHE"


class BlobCache:
    """A folder of blobs and cards. A cache: what cannot be written is not kept, what is damaged is forgotten."""

    def __init__(self, folder: Path, max_bytes: int = 1 << 30) -> None:
        """Keep at most `max_bytes` of blobs in `folder`; the ones used longest ago go first."""
        self.folder, self.max_bytes = folder, max_bytes
        self._bytes: int | None = None

    @classmethod
    def of_user(cls) -> BlobCache:
        """Return the cache in the user's cache folder, or in the one that WORLDSIM_CACHE names."""
        named = os.environ.get(FOLDER_VARIABLE)
        return cls((Path(named) if named else user_cache_path("worldsim")) / "registry")

    def get(self, sha256: str) -> bytes | None:
        """Return the blob, or None where it is not here whole."""
        path = self._blob(sha256)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        if sha256_of(data) != sha256:
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now
        return data

    def put(self, sha256: str, data: bytes) -> None:
        """Keep `data`."""
        path = self._blob(sha256)
        if len(data) > self.max_bytes or path.exists():
            return
        if _write(path, data):
            self._bytes = self._size() + len(data) if self._bytes is not None else self._size()
            if self._bytes > self.max_bytes:
                self._evict()

    def card(self, model_id: str, version: int | None) -> ModelCard | None:
        """Return a card that was put here: that version, or the newest of those here."""
        folder = self.folder / "cards" / model_id
        if version is None:
            kept = [int(f.stem) for f in folder.glob("*.json") if f.stem.isdecimal()]
            if not kept:
                return None
            version = max(kept)
        try:
            return card_from_json((folder / f"{version}.json").read_bytes())
        except (OSError, CardError):
            return None

    def put_card(self, card: ModelCard) -> None:
        """Keep `card`."""
        path = self.folder / "cards" / card.model_id / f"{card.version}.json"
        if not path.exists():
            _write(path, dump_card(card).encode())

    def _blob(self, sha256: str) -> Path:
        return self.folder / "blobs" / sha256[:2] / sha256

    def _size(self) -> int:
        return sum(size for _, size, _ in self._listed()) if self._bytes is None else self._bytes

    def _listed(self) -> list[tuple[float, int, Path]]:
        found = []
        for path in (self.folder / "blobs").glob("*/*"):
            try:
                state = path.stat()
            except OSError:
                continue  # another process took it away
            found.append((state.st_mtime, state.st_size, path))
        return sorted(found)

    def _evict(self) -> None:
        """Remove the blobs used longest ago until a tenth of the room is free."""
        listed = self._listed()
        total = sum(size for _, size, _ in listed)
        for _, size, path in listed:
            if total <= 0.9 * self.max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size
        self._bytes = total


def _write(path: Path, data: bytes) -> bool:
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        return False
    return True
