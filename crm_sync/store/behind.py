"""Connections that write behind: a COPY runs in a thread of its own while the next rows are made.

Belongs here: keeping the order on one connection. Not here: what is copied (staging).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg.abc import Query

Row = tuple[Any, ...]
_CANCEL_SECONDS: Final = 5.0


class BehindConnection(psycopg.Connection[Row]):
    """A connection whose copies run behind. Whatever else is done with it waits for the copy first, so that statements
    keep their order, and what the server refused is raised before anything that came later.
    """

    _behind: Future[None] | None = None
    # Not `_pool`: the driver takes that for the pool that a connection came from.
    _copies: ThreadPoolExecutor | None = None

    def copy_behind(self, statement: Query, data: Sequence[bytes]) -> None:
        """Begin a COPY ... FROM STDIN with all its data; return before it is done."""
        self.settle()
        if self._copies is None:
            self._copies = ThreadPoolExecutor(max_workers=1, thread_name_prefix="copy")
        # Known before it can begin: whoever is interrupted from here on finds it, and waits for its end.
        behind = self._behind = Future()
        self._copies.submit(self._copy, behind, statement, data)

    def _copy(self, behind: Future[None], statement: Query, data: Sequence[bytes]) -> None:
        if not behind.set_running_or_notify_cancel():
            return
        try:
            with super().cursor() as cursor, cursor.copy(statement) as copy:
                for chunk in data:
                    copy.write(chunk)
        except BaseException as error:
            behind.set_exception(error)
        else:
            behind.set_result(None)

    def settle(self) -> None:
        """Wait for the copy under way; raise what it raised. An interrupted wait leaves it known."""
        behind = self._behind
        if behind is None:
            return
        try:
            behind.result()
        finally:
            if behind.done():
                self._behind = None

    def _abandon(self, *, hurry: bool) -> None:
        """See to the end of the copy under way, whatever that is: what it wrote is rolled back next. `hurry`: have the
        server stop it."""
        behind = self._behind
        if behind is not None and not behind.cancel():
            if hurry:
                with suppress(Exception):
                    self.cancel_safe(timeout=_CANCEL_SECONDS)
            with suppress(Exception):
                behind.result()
        self._behind = None

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
                self.settle()
            except BaseException as error:
                # A copy that began after the rollback would be committed by itself.
                self._abandon(hurry=not isinstance(error, Exception))
                raise

    def commit(self) -> None:
        """Commit, when the copy under way is done."""
        self.settle()
        super().commit()

    def rollback(self) -> None:
        """Roll back what was done, the copy under way included."""
        self._abandon(hurry=False)
        super().rollback()

    def close(self) -> None:
        """Close the connection."""
        self._abandon(hurry=True)
        super().close()
        if self._copies is not None:
            self._copies.shutdown()
            self._copies = None
