"""A process beside this one that looks at batches: decodes, lifts, validates, and says by what records are recognised.

Belongs here: that process, its start and its end, what goes there and back. Not here: what looking is (batches).

One interpreter does one thing at a time; what a batch needs neither the store nor other batches for is a third of all.
The process is given documents, rules and the secret of match keys, never a key that opens anything or a CRM's
credentials, and ends with its pipe.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from types import TracebackType
from typing import IO, Any, Final, Self

import numpy as np

from crm_sync import connectors
from crm_sync.flows.batches import Judged, Viewed, stamps_of, view
from crm_sync.flows.lens import Lens
from crm_sync.records import SourceBatch
from crm_sync.steps.matching import Digester, Identity

_LENGTH: Final = struct.Struct(">Q")
_SERVE: Final = "from crm_sync.flows.beside import serve; serve()"
_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "PYTHONWARNINGS")
_PATIENCE_SECONDS: Final = 5.0
_READY: Final = "ready"
Message = tuple[Any, ...]


def look(lens: Lens, raw: Sequence[bytes]) -> Viewed:
    """Look at landed documents of one stream, and judge them; needs nothing that another batch may change."""
    viewed = view(lens, connectors.decode(lens.connection, lens.mapping, raw))
    viewed.judged()
    return viewed


class Beside:
    """A process that looks at batches for this one; without it, or when it dies, this one looks itself."""

    def __init__(self, match_key: bytes) -> None:
        self._match_key = match_key
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._guard = threading.Lock()
        self._told: set[tuple[str, str]] = set()

    def start(self) -> None:
        """Start the process, unless it was started before; it is of use once it is `ready`."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={name: os.environ[name] for name in _INHERITED if name in os.environ},
            )

    def ready(self) -> bool:
        """Tell whether the process waits for work."""
        if not self._guard.acquire(blocking=False):
            return False  # it is at work
        try:
            return self._waits()
        finally:
            self._guard.release()

    def _waits(self) -> bool:
        if not self._ready and self._process is not None and self._process.poll() is None:
            answers = self._process.stdout
            assert answers is not None
            if select.select([answers], [], [], 0)[0]:
                self._ready = _read(answers) == (_READY,)
        return self._ready

    def look(self, lens: Lens, raw: list[bytes]) -> Viewed:
        """Look at landed documents there, if the process is ready, else here. Threads may ask at once."""
        with self._guard:
            answer = self._ask(lens, raw) if self._waits() else None
        return look(lens, raw) if answer is None else _unpacked(lens, raw, answer)

    def _ask(self, lens: Lens, raw: list[bytes]) -> Message | None:
        assert self._process is not None and self._process.stdin is not None and self._process.stdout is not None
        stream = (lens.name, lens.entity.name)
        rules = None if stream in self._told else (lens, self._match_key)
        # What goes wrong there goes wrong here too, and is told; it is not asked again.
        self._ready = False
        try:
            _write(self._process.stdin, (stream, rules, raw))
            answer = _read(self._process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            return None  # it died, or was killed
        self._told.add(stream)
        self._ready = answer is not None
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process, self._ready = self._process, None, False
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def serve() -> None:
    """Be the process: look at what comes, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us ends us
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed must not be taken for an answer
    _write(answers, (_READY,))
    known: dict[tuple[str, str], tuple[Lens, bytes]] = {}
    while (request := _read(requests)) is not None:
        stream, rules, raw = request
        lens, match_key = known.setdefault(stream, rules) if rules is not None else known[stream]
        try:
            answer: Message | None = _packed(look(lens, raw), Digester(lens.entity.name, match_key))
        except Exception:  # told by the other process, which tries the same
            answer = None
        _write(answers, answer)


def _packed(viewed: Viewed, digester: Digester) -> Message:
    """Return what was seen as plain lists: they travel at a fraction of the cost of objects."""
    batch, judged = viewed.batch, viewed.judged()
    columns = [
        batch.record_ids,
        batch.versions,
        batch.stamps,
        batch.deleted,
        batch.merged_into,
        batch.hub_ids,
        viewed.gates,
        viewed.scope,
    ]
    texts = {name: column.tolist() for name, column in judged.texts.items()}
    keys = [i.keys for i in judged.identities]
    vetoes = [dict(i.vetoes) for i in judged.identities]
    digests = [[digester.digest(key) for key in some] for some in keys]
    return (*columns, texts, judged.hashes, judged.reasons, keys, vetoes, digests, judged.bases)


def _unpacked(lens: Lens, raw: list[bytes], answer: Message) -> Viewed:
    ids, versions, stamps, deleted, merged_into, hub_ids, gates, scope, *seen = answer
    texts, hashes, reasons, keys, vetoes, digests, bases = seen
    mapping = lens.mapping
    batch = SourceBatch(
        lens.name, mapping.entity, mapping.object, ids, versions, stamps, deleted, merged_into, hub_ids, {}, raw
    )
    judged = Judged(
        {name: np.array(column, dtype=object) for name, column in texts.items()},
        hashes,
        reasons,
        [Identity(k, v) for k, v in zip(keys, vetoes, strict=True)],
        bases,
        dict(zip(chain.from_iterable(keys), chain.from_iterable(digests), strict=True)),
    )
    return Viewed(lens, batch, gates, scope, stamps_of(batch), judged)


def _write(pipe: IO[bytes], message: Message | None) -> None:
    body = pickle.dumps(message, protocol=5)
    pipe.write(_LENGTH.pack(len(body)) + body)
    pipe.flush()


def _read(pipe: IO[bytes]) -> Message | None:
    """Return the next message; None where the pipe has ended (or nothing was the message)."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    message: Message | None = pickle.loads(pipe.read(length))  # noqa: S301 - from our own process
    return message
