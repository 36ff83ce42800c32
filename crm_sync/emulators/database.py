"""Hold one SQLite file open for many threads: transactions, time, counters, small facts.

One connection a thread, writes under one lock, WAL, so that readers never wait.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import orjson

from crm_sync.emulators.clock import Clock, VirtualClock, system_clock

FACTS = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

LASTING = ("token:", "credentials", "clock")
"""Prefixes of the small facts that a snapshot does not bring back: who may come in, and what time it is."""


def fold(value: Any) -> Any:
    """Return the case-folded text; other values as they are. In SQL: fold(expression)."""
    return value.casefold() if isinstance(value, str) else value


def patched(doc: str, more: str) -> str:
    """Return a JSON object with the keys of another put over its own. In SQL: patched(expression, expression)."""
    return orjson.dumps({**orjson.loads(doc), **orjson.loads(more)}).decode()


class _Handle:
    """One thread's connection; it closes with its thread (a thread pool replaces idle threads)."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db, self.depth = db, 0
        self.after_commit: list[Callable[[], None]] = []
        self.counts: dict[tuple[Any, ...], tuple[tuple[int, ...], int]] = {}

    def __del__(self) -> None:
        self.db.close()


class Database:
    """One SQLite file. All methods may be called from any thread."""

    def __init__(self, path: Path, clock: Clock = system_clock, resolution_us: int = 1) -> None:
        """Open or create the file; `resolution_us` cuts stamps down (1_000_000 for a CRM that knows seconds only)."""
        self.path = path
        self.resolution_us = resolution_us
        self.clock = clock if isinstance(clock, VirtualClock) else VirtualClock(clock)
        self._local = threading.local()
        self._lock = threading.RLock()
        self._open: weakref.WeakSet[_Handle] = weakref.WeakSet()
        self._last_us = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._restored = 0
        self._after_restore: list[Callable[[], None]] = []
        self._db().executescript(FACTS)
        kept = self.get_meta("clock")
        if kept is not None:
            self.clock.restore(kept)

    # -- connections and transactions

    def _handle(self) -> _Handle:
        handle: _Handle | None = getattr(self._local, "handle", None)
        if handle is None:
            db = sqlite3.connect(
                self.path, timeout=30, isolation_level=None, check_same_thread=False, cached_statements=512
            )
            handle = self._local.handle = _Handle(db)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.create_function("fold", 1, fold, deterministic=True)
            db.create_function("patched", 2, patched, deterministic=True)
            with self._lock:
                self._open.add(handle)
        return handle

    def _db(self) -> sqlite3.Connection:
        return self._handle().db

    def connection(self) -> sqlite3.Connection:
        """Return this thread's connection, for reading; what writes uses `transaction`."""
        return self._handle().db

    def version(self) -> tuple[int, ...]:
        """Return what is another value in this thread after any write of anybody; nothing is told by its order."""
        db = self._handle().db
        return (self._restored, db.execute("PRAGMA data_version").fetchone()[0], db.total_changes)

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
            handle.depth, before = depth + 1, len(handle.after_commit)
            try:
                yield db
            except BaseException:
                del handle.after_commit[before:]
                for statement in undo.split("; "):
                    db.execute(statement)
                raise
            else:
                db.execute(commit)
            finally:
                handle.depth = depth
        if depth == 0 and handle.after_commit:
            told, handle.after_commit = handle.after_commit, []
            for tell in told:
                tell()

    def after_commit(self, tell: Callable[[], None]) -> None:
        """Call `tell` once the transaction that runs in this thread is committed (not if it is rolled back)."""
        handle = self._handle()
        if handle.depth:
            handle.after_commit.append(tell)
        else:
            tell()

    # -- snapshots

    def save(self, path: Path) -> None:
        """Copy all that is committed into a file, whole or not at all, while others read and write."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.new")
        draft.unlink(missing_ok=True)
        with closing(sqlite3.connect(draft)) as target:
            self._db().backup(target)
        draft.replace(path)

    def restore(self, path: Path) -> None:
        """Put the contents of a file that `save` wrote in place of ours; tokens and the clock stay as they are."""
        with self._lock:
            kept = {key: value for prefix in LASTING for key, value in self.list_meta(prefix).items()}
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source:
                source.backup(self._db())
            with self.transaction():
                for prefix in LASTING:
                    for key in self.list_meta(prefix).keys() - kept.keys():
                        self.set_meta(key, None)
                for key, value in kept.items():
                    self.set_meta(key, value)
        self._restored += 1
        for tell in self._after_restore:
            tell()

    def after_restore(self, tell: Callable[[], None]) -> None:
        """Call `tell` whenever `restore` has put other contents in place: what was remembered of them is void."""
        self._after_restore.append(tell)

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
            self._last_us = max(self._last_us, self.clock())
            return self._last_us - self._last_us % self.resolution_us

    def move_clock(self, *, freeze: bool | None = None, advance_seconds: float = 0.0, set_us: int | None = None) -> int:
        """Freeze, set, advance, unfreeze: what is asked for, in this order; return now. `set_us` may go back."""
        with self._lock:
            if freeze:
                self.clock.freeze()
            if set_us is not None:
                self.clock.set(set_us)
                self._last_us = 0
            if advance_seconds < 0:
                raise ValueError(f"advance_seconds is {advance_seconds:g}; expected 0 or more (use set to go back)")
            self.clock.advance(advance_seconds)
            if freeze is False:
                self.clock.freeze(False)
            self.set_meta("clock", self.clock.kept())
            return self.now_us()

    def next_number(self, name: str, count: int = 1) -> int:
        """Take `count` numbers of a named sequence and return the first (sequences start at 1)."""
        handle = self._handle()
        with nullcontext(handle.db) if handle.depth else self.transaction() as db:
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
        bounds = (prefix, f"{prefix}\U0010ffff")
        rows = self._db().execute("SELECT key, value FROM meta WHERE key >= ? AND key < ?", bounds)
        return {key: orjson.loads(value) for key, value in rows}
