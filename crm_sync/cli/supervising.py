"""Child processes in the foreground: started, watched, and ended together.

Belongs here: process groups, signals, logs, the death of one. Not here: which programs run (up.py).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final

from crm_sync.errors import BadSettings, CrmSyncError

_PATIENCE_SECONDS: Final = 10.0
"""How long a program may take to end by itself; Dagster's code server would wait for heartbeats much longer."""
_TICK_SECONDS: Final = 0.2
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


class Ended(CrmSyncError):
    """A program that should run for ever has ended."""


@dataclass(frozen=True, slots=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    owned: bool


class Supervisor:
    """Programs that live and die together. SIGINT and SIGTERM raise KeyboardInterrupt in the main thread meanwhile."""

    def __init__(self) -> None:
        self._children: list[_Child] = []
        self._deferring = False
        self._asked = False
        self._former: dict[
            signal.Signals, signal.Handlers | Callable[[int, FrameType | None], object] | int | None
        ] = {}

    def __enter__(self) -> Supervisor:
        """Take over the signals that ask to end."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._former[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what still runs, and give the signals back."""
        self.end()
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path) -> None:
        """Start a program in a session of its own, so that Ctrl-C reaches us alone; what it says goes to `log`."""
        try:
            output = log.open("wb")
        except OSError as error:
            raise BadSettings(f"{log} cannot be written ({type(error).__name__}); make it writable.") from None
        tied = [sys.executable, "-m", "crm_sync.cli.attached", str(os.getpid()), *command]
        with output, self._deferred():
            process = subprocess.Popen(
                tied,
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            self._children.append(_Child(name, process, log, owned=True))

    def adopt(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        """Watch a program that somebody else starts and ends."""
        self._children.append(_Child(name, process, log, owned=False))

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float) -> None:
        """Return when `ready` says so; Ended where a program dies first, BadSettings after `seconds`."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                logs = ", ".join(str(child.log) for child in self._children)
                raise BadSettings(f"{what} did not answer within {seconds:.0f} s. What the programs say: {logs}.")
            time.sleep(_TICK_SECONDS)

    def watch(self, alive: Callable[[], None]) -> None:
        """Stay until a signal comes (KeyboardInterrupt) or a program dies (Ended); `alive` may raise for others."""
        while True:
            self.check()
            alive()
            time.sleep(_TICK_SECONDS)

    def check(self) -> None:
        """Raise Ended for a program that has died."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
                words = _last_line(child.log)
                said = f" Its last words: {words}" if words else ""
                raise Ended(f"{child.name} {how}, so everything was ended. See {child.log}.{said}")

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._deferring:
            self._asked = True
        else:
            raise KeyboardInterrupt

    @contextmanager
    def _deferred(self) -> Iterator[None]:
        """Keep a signal from coming between the start of a program and its entry in our list."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if self._asked:
            raise KeyboardInterrupt

    def end(self) -> None:
        """End every program and whatever it started; from here on signals change nothing about that."""
        self._deferring = True
        owned = [child for child in reversed(self._children) if child.owned]
        for child in owned:
            with suppress(ProcessLookupError):
                child.process.terminate()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        for child in owned:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
            # Whatever it started is of its session, and goes with it.
            with suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()
        self._children = []


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return _COLOUR.sub("", lines[-1]).strip() if lines else ""
