"""Models fetched from a server, kept on this machine by their sha256, up to a size."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from platformdirs import user_cache_path

from worldsim.errors import CardError, ConfigurationError
from worldsim.registry.artefact import sha256_of
from worldsim.registry.cards import card_from_json, dump_card
from worldsim.types.card import ModelCard

__all__ = ["BlobCache"]

FOLDER_VARIABLE, BYTES_VARIABLE = "WORLDSIM_CACHE", "WORLDSIM_CACHE_BYTES"
_DEFAULT_BYTES = 1 << 30
_KEPT = ("blobs/*/*", "cards/**/*.json", "interactions/**/*.json", "parts/*")


class BlobCache:
    """A folder of blobs and cards. A cache: what cannot be written is not kept, what is damaged is forgotten.

    Blobs are named by their content, so every registry shares them; cards lie in the place of the registry that sent
    them (see `worldsim.registry.identity`).
    """

    def __init__(self, folder: Path, max_bytes: int = _DEFAULT_BYTES) -> None:
        """Keep at most `max_bytes` of blobs, cards and unfinished downloads; those used longest ago go first."""
        self.folder, self.max_bytes = folder, max_bytes
        self._bytes: int | None = None

    @classmethod
    def of_user(cls) -> BlobCache:
        """Return the cache in the user's cache folder (or WORLDSIM_CACHE), of 1 GiB (or WORLDSIM_CACHE_BYTES).

        Raises:
            ConfigurationError: WORLDSIM_CACHE_BYTES is no number of bytes.
        """
        named = os.environ.get(FOLDER_VARIABLE)
        size = os.environ.get(BYTES_VARIABLE, str(_DEFAULT_BYTES))
        if not size.isdecimal():
            raise ConfigurationError(f"{BYTES_VARIABLE} is {size[:80]!r}, expected a number of bytes.")
        return cls((Path(named) if named else user_cache_path("worldsim")) / "registry", int(size))

    def part(self, sha256: str) -> Path:
        """Return where an unfinished download of this blob is kept."""
        return self.folder / "parts" / sha256

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
        self._keep(path, data)

    def place_of(self, url: str) -> str | None:
        """Return what `note_place` said last of `url`."""
        try:
            return self._note(url).read_text()
        except (OSError, ValueError):
            return None

    def note_place(self, url: str, place: str) -> None:
        """Note the place of the registry at `url`, for who is offline later."""
        _write(self._note(url), place.encode())

    def card(self, place: str, model_id: str, version: int | None) -> ModelCard | None:
        """Return a card that was put there: that version, or the newest of those there."""
        text = self.text("cards", place, model_id, version)
        try:
            return None if text is None else card_from_json(text)
        except CardError:
            return None

    def put_card(self, place: str, card: ModelCard) -> None:
        """Keep `card`."""
        self.put_text("cards", place, card.model_id, card.version, dump_card(card))

    def text(self, shelf: str, place: str, model_id: str, version: int | None) -> bytes | None:
        """Return the text of a card that was put on a shelf: that version, or the newest of those there."""
        folder = self.folder / shelf / place / model_id
        if version is None:
            kept = [int(f.stem) for f in folder.glob("*.json") if f.stem.isdecimal()]
            if not kept:
                return None
            version = max(kept)
        path = folder / f"{version}.json"
        try:
            found = path.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now
        return found

    def put_text(self, shelf: str, place: str, model_id: str, version: int, text: str) -> None:
        """Keep the text of a card on a shelf, ``cards`` or ``interactions``."""
        path = self.folder / shelf / place / model_id / f"{version}.json"
        if not path.exists():
            self._keep(path, text.encode())

    def _blob(self, sha256: str) -> Path:
        return self.folder / "blobs" / sha256[:2] / sha256

    def _note(self, url: str) -> Path:
        return self.folder / "registries" / sha256_of(url.encode())[:32]

    def _keep(self, path: Path, data: bytes) -> None:
        if not _write(path, data):
            return
        if self._bytes is None:  # counted once, when the first file of this process has been written
            self._bytes = sum(size for _, size, _ in self._listed())
        else:
            self._bytes += len(data)
        if self._bytes > self.max_bytes:
            self._evict()

    def _listed(self) -> list[tuple[float, int, Path]]:
        found = []
        for path in (p for kept in _KEPT for p in self.folder.glob(kept)):
            try:
                state = path.stat()
            except OSError:
                continue  # another process took it away
            found.append((state.st_mtime, state.st_size, path))
        return sorted(found)

    def _evict(self) -> None:
        """Remove what was used longest ago until a tenth of the room is free."""
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
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        return False
    return True
