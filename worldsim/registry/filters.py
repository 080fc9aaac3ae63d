"""Which rows of the cards table a search may bring, by tag and by licence: remembered, and followed as others publish.

An old version may be among them; the index knows the newest alone, so no search brings it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np
import sqlalchemy as sa
from jaxtyping import Bool, Int
from sqlalchemy.engine import Connection

from worldsim.registry.database import cards, tags

__all__ = ["RowFilters", "among"]

_REMEMBERED = 8  # filters; one that a million cards pass takes 8 MB
_AFTER: sa.BindParameter[int] = sa.bindparam("after")
_VALUE: sa.BindParameter[str] = sa.bindparam("value")
_ROWS = {
    "tag": sa.select(tags.c.row).where(tags.c.tag == _VALUE, tags.c.row > _AFTER).order_by(tags.c.row),
    "licence": sa.select(cards.c.row).where(cards.c.licence == _VALUE, cards.c.row > _AFTER).order_by(cards.c.row),
}
_NEWEST_ROW = sa.select(sa.func.coalesce(sa.func.max(cards.c.row), 0))


class RowFilters:
    """The filters that were asked for lately. Safe to use from several threads."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._turn = threading.Lock()
        self._known: OrderedDict[tuple[str, str], tuple[int, Int[np.ndarray, " n"]]] = OrderedDict()

    def rows(self, connection: Connection, tag: str | None, licence: str | None) -> Int[np.ndarray, " n"] | None:
        """Return the rows with `tag` and of `licence`, ascending; None where neither is asked."""
        found = None
        for column, value in (("tag", tag), ("licence", licence)):
            if value is not None:
                rows = self._follow(connection, column, value)
                found = rows if found is None else rows[among(rows, found)]
        return found

    def reset(self) -> None:
        """Forget what was read."""
        with self._turn:
            self._known.clear()

    def _follow(self, connection: Connection, column: str, value: str) -> Int[np.ndarray, " n"]:
        with self._turn:
            after, rows = self._known.pop((column, value), (0, np.zeros(0, dtype=np.int64)))
            newest = int(connection.execute(_NEWEST_ROW).scalar_one())
            if newest > after:
                fresh = list(connection.execute(_ROWS[column], {"value": value, "after": after}).scalars())
                rows = np.concatenate([rows, np.array(fresh, dtype=np.int64)]) if fresh else rows
            self._known[(column, value)] = max(newest, after), rows
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            return rows


def among(rows: Int[np.ndarray, " n"], ascending: Int[np.ndarray, " m"]) -> Bool[np.ndarray, " n"]:
    """Return which of `rows` are in `ascending`.

    >>> among(np.array([5, 1, 9]), np.array([1, 2, 9])).tolist()
    [False, True, True]
    """
    if len(ascending) == 0:
        return np.zeros(len(rows), dtype=bool)
    place = np.minimum(np.searchsorted(ascending, rows), len(ascending) - 1)
    found: Bool[np.ndarray, " n"] = ascending[place] == rows
    return found
