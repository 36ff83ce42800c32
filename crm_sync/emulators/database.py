"""Hold one SQLite file open for many threads: transactions, time, counters, small facts.

One connection a thread, writes under one lock, WAL, so that readers never wait.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

Clock = Callable[[], int]
"""Return now in microseconds since 1970 UTC."""

FACTS = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""


def system_clock() -> int:
    """Return now in microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def fold(value: Any) -> Any:
    """Return the case-folded text; other values as they are. In SQL: fold(expression)."""
    return value.casefold() if isinstance(value, str) else value


class _Handle:
    """One thread's connection; it closes with its thread (a thread pool replaces idle threads)."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db, self.depth = db, 0

    def __del__(self) -> None:
        self.db.close()


class Database:
    """One SQLite file. All methods may be called from any thread."""

    def __init__(self, path: Path, clock: Clock = system_clock, resolution_us: int = 1) -> None:
        """Open or create the file; `resolution_us` cuts stamps down (1_000_000 for a CRM that knows seconds only)."""
        self.path = path
        self.resolution_us = resolution_us
        self._clock = clock
        self._local = threading.local()
        self._lock = threading.RLock()
        self._open: weakref.WeakSet[_Handle] = weakref.WeakSet()
        self._last_us = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db().executescript(FACTS)

    # -- connections and transactions

    def _handle(self) -> _Handle:
        handle: _Handle | None = getattr(self._local, "handle", None)
        if handle is None:
            db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            handle = self._local.handle = _Handle(db)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.create_function("fold", 1, fold, deterministic=True)
            with self._lock:
                self._open.add(handle)
        return handle

    def _db(self) -> sqlite3.Connection:
        return self._handle().db

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Make all writes inside atomic; a nested one rolls back alone (a failed record beside good neighbours)."""
        handle = self._handle()
        db = handle.db
        with self._lock:
            depth = handle.depth
            begin, commit, undo = (
                ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
                if depth == 0
                else (f"SAVEPOINT s{depth}", f"RELEASE s{depth}", f"ROLLBACK TO s{depth}; RELEASE s{depth}")
            )
            db.execute(begin)
            handle.depth = depth + 1
            try:
                yield db
            except BaseException:
                for statement in undo.split("; "):
                    db.execute(statement)
                raise
            else:
                db.execute(commit)
            finally:
                handle.depth = depth

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for handle in list(self._open):
                handle.db.close()
            self._local = threading.local()

    # -- time, counters, small facts

    def now_us(self) -> int:
        """Return now at the CRM's resolution; it never runs backwards."""
        with self._lock:
            self._last_us = max(self._last_us, self._clock())
            return self._last_us - self._last_us % self.resolution_us

    def next_number(self, name: str, count: int = 1) -> int:
        """Take `count` numbers of a named sequence and return the first (sequences start at 1)."""
        with self.transaction() as db:
            row = db.execute(
                "INSERT INTO counter VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + ? RETURNING value",
                (name, count, count),
            ).fetchone()
        return int(row[0]) - count + 1

    def last_seq(self) -> int:
        """Return the sequence number of the last committed write (0: none yet)."""
        row = self._db().execute("SELECT value FROM counter WHERE name = 'seq'").fetchone()
        return int(row[0]) if row else 0

    def get_meta(self, key: str, default: Any = None) -> Any:
        """Return a small fact kept beside the records (any JSON value)."""
        row = self._db().execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return orjson.loads(row[0]) if row else default

    def set_meta(self, key: str, value: Any) -> None:
        """Keep a small fact; None removes it."""
        with self.transaction() as db:
            if value is None:
                db.execute("DELETE FROM meta WHERE key = ?", (key,))
            else:
                db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, orjson.dumps(value).decode()))

    def list_meta(self, prefix: str) -> dict[str, Any]:
        """Return all small facts whose key starts with `prefix`."""
        rows = self._db().execute("SELECT key, value FROM meta WHERE substr(key, 1, ?) = ?", (len(prefix), prefix))
        return {key: orjson.loads(value) for key, value in rows}
