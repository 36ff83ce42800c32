"""Connections that write behind: a COPY runs in a thread of its own while the next rows are made.

Belongs here: keeping the order on one connection. Not here: what is copied (staging).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.abc import Query

Row = tuple[Any, ...]


class BehindConnection(psycopg.Connection[Row]):
    """A connection whose copies run behind. Whatever else is done with it waits for the copy first, so that statements
    keep their order, and what the server refused is raised before anything that came later.
    """

    _behind: Future[None] | None = None
    _pool: ThreadPoolExecutor | None = None

    def copy_behind(self, statement: Query, data: Sequence[bytes]) -> None:
        """Begin a COPY ... FROM STDIN with all its data; return before it is done."""
        self.settle()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="copy")
        self._behind = self._pool.submit(self._copy, statement, data)

    def _copy(self, statement: Query, data: Sequence[bytes]) -> None:
        with super().cursor() as cursor, cursor.copy(statement) as copy:
            for chunk in data:
                copy.write(chunk)

    def settle(self) -> None:
        """Wait for the copy under way; raise what it raised."""
        behind, self._behind = self._behind, None
        if behind is not None:
            behind.result()

    def cursor(self, *options: Any, **named: Any) -> Any:
        """Return a cursor, when the copy under way is done."""
        self.settle()
        return super().cursor(*options, **named)

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        """Begin a transaction or a savepoint; its end waits for the copy under way."""
        self.settle()
        with super().transaction(savepoint_name, force_rollback) as transaction:
            try:
                yield transaction
            except BaseException:
                with suppress(Exception):  # rolled back as well
                    self.settle()
                raise
            self.settle()

    def close(self) -> None:
        """Close the connection."""
        with suppress(Exception):
            self.settle()
        super().close()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
