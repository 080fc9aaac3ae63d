"""A download that goes on where it was cut off: what has arrived is kept in a file until the whole is there."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Self

import httpx

from worldsim.errors import IntegrityError
from worldsim.registry.artefact import MAX_MODEL_BYTES

__all__ = ["Download"]


class Download:
    """The bytes of one model that have arrived so far. Use it in a ``with`` block, `attempt` as often as it takes.

    One process at a time goes on with a file; another that wants the same model meanwhile downloads it for itself.
    """

    def __init__(self, part: Path) -> None:
        """Keep what arrives in the file `part`, or in memory where that cannot be written."""
        self._part = part
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(MAX_MODEL_BYTES)  # noqa: SIM115 - closed at the end
        self._is_kept = False

    def __enter__(self) -> Self:
        """Take up what arrived before."""
        try:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            kept = self._part.open("a+b")
        except OSError:
            return self
        try:
            fcntl.flock(kept, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # whoever finished it between our opening and our locking has removed the name
            if self._part.stat().st_ino != os.fstat(kept.fileno()).st_ino:
                raise FileNotFoundError(self._part)
        except OSError:
            kept.close()
            return self
        self._file.close()
        self._file, self._is_kept = kept, True
        return self

    def __exit__(self, *_: object) -> None:
        """Leave what has arrived for the next time."""
        self._file.close()

    def __len__(self) -> int:
        """Return how many bytes have arrived."""
        return self._file.seek(0, 2)

    def attempt(self, http: httpx.Client, path: str, params: Mapping[str, Any]) -> httpx.Response:
        """Ask for what is missing; return the answer, whose body has been taken where it is a success.

        Raises:
            httpx.HTTPError: the connection failed; what had arrived by then is kept.
            IntegrityError: more arrives than a model may have.
        """
        held = len(self)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={held}-"} if held else {})
        with http.stream("GET", path, params=dict(params), headers=headers) as answer:
            if answer.status_code == 416 and held:  # what is here is no part of it
                self.restart()
                return self.attempt(http, path, params)
            if not answer.is_success:
                answer.read()
                return answer
            if answer.headers.get("Content-Range", "").partition("-")[0] != f"bytes {held}":
                self.restart()
            for piece in answer.iter_bytes():
                if self._file.tell() + len(piece) > MAX_MODEL_BYTES:
                    self.restart()
                    raise IntegrityError(
                        f"{answer.request.url} sends more than {MAX_MODEL_BYTES} bytes; no model does."
                    )
                self._file.write(piece)
            return answer

    def content(self) -> bytes:
        """Return what has arrived."""
        self._file.seek(0)
        return self._file.read()

    def discard(self) -> None:
        """Forget what has arrived, and that anything was to."""
        self.restart()
        if self._is_kept:
            self._part.unlink(missing_ok=True)

    def restart(self) -> None:
        """Forget what has arrived; the next attempt begins at the beginning."""
        self._file.seek(0)
        self._file.truncate()
