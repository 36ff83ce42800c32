"""Tell how long each stage takes, from outside: the product's functions are wrapped while the stopwatch runs.

Each moment counts for the innermost stage of its thread. Stages of threads that work at the same time overlap, so their
sum may exceed the time that passed.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

from crm_sync.flows import absorb, batches, deliver, goldens, ingest, propagate, verdicts
from crm_sync.flows.lens import Lens
from crm_sync.store import landing, staging

STAGES: Final = ("read", "land", "map", "match", "merge", "write", "send", "rest")

WRAPPED: Final[tuple[tuple[Any, str, str], ...]] = (
    (ingest, "_land", "land"),
    (landing, "land_page", "land"),
    (Lens, "lift", "map"),
    (batches, "validate", "map"),
    (absorb, "_view", "rest"),
    (absorb, "identify", "match"),
    (absorb, "fold", "merge"),
    (goldens.Goldens, "flush", "merge"),
    (verdicts, "write", "merge"),
    (propagate, "_plan_batch", "merge"),
    (deliver, "_deliver_batch", "send"),
    (staging, "_copy", "write"),
    (psycopg.Connection, "execute", "write"),
    (psycopg.Transaction, "__exit__", "write"),
)
"""Owner, function, stage. What a flow does besides counts as "rest"."""


class Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._guard = threading.Lock()
        self._local = threading.local()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside for a stage, and not for the one around it."""
        stack: list[tuple[str, list[float]]] = self._local.__dict__.setdefault("stack", [])
        now = time.perf_counter()
        if stack:
            self._add(stack[-1][0], now - stack[-1][1][0])
        stack.append((name, [now]))
        try:
            yield
        finally:
            now = time.perf_counter()
            _, since = stack.pop()
            self._add(name, now - since[0])
            if stack:
                stack[-1][1][0] = now

    @contextmanager
    def running(self) -> Iterator[None]:
        """Wrap the product's functions as long as this lasts."""
        kept = [(owner, name, getattr(owner, name)) for owner, name, _ in WRAPPED]
        pages = ingest._pages
        for owner, name, stage in WRAPPED:
            setattr(owner, name, self._wrapped(getattr(owner, name), stage))
        ingest._pages = self._reading(pages)
        try:
            with self.stage("rest"):
                yield
        finally:
            ingest._pages = pages
            for owner, name, plain in kept:
                setattr(owner, name, plain)

    def _wrapped(self, plain: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def wrapped(*given: Any, **named: Any) -> Any:
            with self.stage(stage):
                return plain(*given, **named)

        return wrapped

    def _reading(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def pages(*given: Any, **named: Any) -> Iterator[Any]:
            source = iter(plain(*given, **named))
            while True:
                with self.stage("read"):
                    page = next(source, None)
                if page is None:
                    return
                yield page

        return pages

    def _add(self, stage: str, seconds: float) -> None:
        with self._guard:
            self.seconds[stage] += seconds
