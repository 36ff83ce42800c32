"""Keep long runs of rows in pieces beside the records: the ids of a cursor, the CSV of a bulk job.

They survive a restart, and no caller ever holds more than one piece.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from crm_sync.emulators.salesforce.reading import stream
from crm_sync.emulators.state import State

SCHEMA = """
CREATE TABLE IF NOT EXISTS sf_part (
    owner TEXT NOT NULL, number INTEGER NOT NULL, first INTEGER NOT NULL, rows INTEGER NOT NULL,
    ends BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (owner, number))
"""
PIECE_ROWS = 2000


class Parts:
    """Runs of rows by the name of their owner; a row is bytes."""

    def __init__(self, state: State) -> None:
        self.state = state
        with state.transaction() as db:
            db.execute(SCHEMA)

    def add(self, owner: str, rows: list[bytes]) -> None:
        """Append rows as one piece."""
        if not rows:
            return
        ends, end = array("I"), 0
        for row in rows:
            end += len(row)
            ends.append(end)
        with self.state.transaction() as db:
            last = db.execute(
                "SELECT number + 1, first + rows FROM sf_part WHERE owner = ? ORDER BY number DESC LIMIT 1", (owner,)
            ).fetchone()
            number, first = last or (0, 0)
            piece = (owner, number, first, len(rows), ends.tobytes(), b"".join(rows))
            db.execute("INSERT INTO sf_part VALUES (?, ?, ?, ?, ?, ?)", piece)

    def extend(self, owner: str, rows: Iterable[bytes]) -> int:
        """Append rows in pieces and return how many."""
        piece: list[bytes] = []
        total = 0
        for row in rows:
            piece.append(row)
            if len(piece) == PIECE_ROWS:
                self.add(owner, piece)
                total += len(piece)
                piece = []
        self.add(owner, piece)
        return total + len(piece)

    def count(self, owner: str) -> int:
        """Return how many rows an owner has."""
        row = stream(self.state, "SELECT coalesce(sum(rows), 0) FROM sf_part WHERE owner = ?", (owner,)).fetchone()
        return int(row[0])

    def size(self, owner: str) -> int:
        """Return how many bytes an owner has."""
        sql = "SELECT coalesce(sum(length(data)), 0) FROM sf_part WHERE owner = ?"
        return int(stream(self.state, sql, (owner,)).fetchone()[0])

    def slices(self, owner: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the rows from `start` to before `end`, many at once, joined."""
        number = -1
        while True:
            piece = stream(
                self.state,
                "SELECT number, first, rows, ends, data FROM sf_part"
                " WHERE owner = ? AND number > ? AND first + rows > ? ORDER BY number LIMIT 1",
                (owner, number, start),
            ).fetchone()
            if piece is None or (end is not None and piece[1] >= end):
                return
            number, first, rows, raw, data = piece
            low, high = max(0, start - first), rows if end is None else min(rows, end - first)
            if low == 0 and high == rows:
                yield data
                continue
            ends = array("I")
            ends.frombytes(raw)
            yield data[ends[low - 1] if low else 0 : ends[high - 1] if high else 0]

    def drop(self, owner: str) -> None:
        """Forget an owner's rows."""
        with self.state.transaction() as db:
            db.execute("DELETE FROM sf_part WHERE owner = ?", (owner,))
