"""Work ahead: take the next one from a source while the last one is worked on.

Belongs here: threads that wait for a CRM or the store meanwhile, the interpreter's manners during a batch. Not here:
what is read or worked on.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
Name = TypeVar("Name")

_TURN_SECONDS = 0.0005

_guard = threading.Lock()
_depth = 0
_usual = sys.getswitchinterval(), gc.isenabled()


@contextmanager
def at_work() -> Iterator[None]:
    """Have the interpreter work on a batch: without the cyclic garbage collector, and with short turns for threads.

    A batch makes a million small objects and no cycles; looking through them over and over takes a quarter of the time.
    Threads that wait for the database or a CRM go on as soon as they can, or these would wait for us.
    """
    global _depth, _usual
    with _guard:
        _depth += 1
        if _depth == 1:
            _usual = sys.getswitchinterval(), gc.isenabled()
            sys.setswitchinterval(_TURN_SECONDS)
            gc.disable()
    try:
        yield
    finally:
        with _guard:
            _depth -= 1
            if not _depth:
                turn, collects = _usual
                sys.setswitchinterval(turn)
                if collects:
                    gc.enable()


def one_ahead(source: Iterator[Item]) -> Generator[Item]:
    """Yield the items of a source (none of them None), taken in a thread of its own, one ahead and never more.

    What the source raises is raised in its turn, after the items before it. The thread has ended when this is closed.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as pool:

        def following() -> Future[Item | None]:
            return pool.submit(next, source, None)

        coming = following()
        while (item := coming.result()) is not None:
            coming = following()
            yield item


class Ahead(Generic[Name, Item]):
    """Make one named thing ahead, in a thread of its own; leaving its context waits for it."""

    def __init__(self, make: Callable[[Name], Item]) -> None:
        self._make = make
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead")
        self._coming: tuple[Name, Future[Item]] | None = None

    def start(self, name: Name) -> None:
        """Begin to make the thing of that name, unless it is under way; whatever else was begun is given up."""
        if self._coming is None or self._coming[0] != name:
            self._coming = name, self._pool.submit(self._make, name)

    def take(self, name: Name) -> Item:
        """Return the thing of that name, made now unless it was made ahead; what making it raised is raised here."""
        coming, self._coming = self._coming, None
        if coming is not None and coming[0] == name:
            return coming[1].result()
        return self._make(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
