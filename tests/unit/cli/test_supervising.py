"""Programs that live and die together: real processes, small ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_sync.cli.supervising import Ended, Supervisor
from crm_sync.errors import BadSettings

PATIENCE_SECONDS = 60.0
LASTING = "import time; time.sleep(600)"


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    with Supervisor() as found:
        yield found


def start(supervisor: Supervisor, name: str, code: str, log: Path) -> None:
    supervisor.start(name, [sys.executable, "-c", code], os.environ, Path.cwd(), log)


def pid_in(path: Path) -> int:
    """Return the number that a program writes of itself, once it is there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline, f"{path} was never written"
        time.sleep(0.01)
    return int(path.read_text())


def runs(pid: int) -> bool:
    """Tell whether a process runs; one that nobody has waited for yet has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not runs(pid)


def noting(path: Path) -> str:
    """Return a program that notes its number, starts another that does too, and goes on."""
    inner = f"import os,time; open({str(path)!r} + '.inner', 'w').write(f'{{os.getpid()}}\\n'); time.sleep(600)"
    return (
        f"import os, subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {inner!r}]);"
        f"open({str(path)!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(600)"
    )


def test_the_one_that_is_killed_is_named_and_the_others_end_with_all_that_they_started(tmp_path: Path) -> None:
    numbers = []
    with pytest.raises(Ended) as told, Supervisor() as supervisor:
        start(supervisor, "The first", noting(tmp_path / "first"), tmp_path / "first.log")
        start(supervisor, "The second", noting(tmp_path / "second"), tmp_path / "second.log")
        numbers = [pid_in(tmp_path / name) for name in ("first", "first.inner", "second", "second.inner")]
        os.kill(numbers[2], signal.SIGKILL)
        supervisor.watch(lambda: None)
    assert str(told.value).startswith("The second was killed by signal 9, so everything was ended.")
    assert str(tmp_path / "second.log") in str(told.value)
    assert all(gone(pid) for pid in numbers)


def test_its_last_words_are_told_without_colours(supervisor: Supervisor, tmp_path: Path) -> None:
    start(supervisor, "It", "print('\\x1b[31mno room\\x1b[0m'); raise SystemExit(3)", tmp_path / "log")
    with pytest.raises(Ended) as told:
        supervisor.watch(lambda: None)
    assert str(told.value).startswith("It ended with code 3,") and str(told.value).endswith("Its last words: no room")


def test_the_death_of_an_adopted_one_is_noticed_and_its_end_is_left_to_others(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    adopted = subprocess.Popen([sys.executable, "-c", LASTING])
    try:
        supervisor.adopt("The adopted one", adopted, tmp_path / "log")
        supervisor.end()
        assert adopted.poll() is None
        supervisor.adopt("The adopted one", adopted, tmp_path / "log")
        adopted.terminate()
        with pytest.raises(Ended, match="The adopted one was killed by signal 15"):
            supervisor.watch(lambda: None)
    finally:
        adopted.kill()
        adopted.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_to_end_and_the_former_handlers_come_back(tmp_path: Path, number: signal.Signals) -> None:
    former = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), Supervisor() as supervisor:
        start(supervisor, "It", noting(tmp_path / "it"), tmp_path / "log")
        pid_in(tmp_path / "it")
        supervisor.watch(lambda: os.kill(os.getpid(), number))
    assert gone(pid_in(tmp_path / "it")) and signal.getsignal(number) == former


def test_one_that_dies_before_it_is_ready_is_told_at_once(supervisor: Supervisor, tmp_path: Path) -> None:
    start(supervisor, "It", "raise SystemExit(4)", tmp_path / "log")
    with pytest.raises(Ended, match="It ended with code 4"):
        supervisor.wait_until(lambda: False, "It", PATIENCE_SECONDS)


def test_one_that_is_never_ready_names_the_logs(supervisor: Supervisor, tmp_path: Path) -> None:
    start(supervisor, "It", LASTING, tmp_path / "log")
    with pytest.raises(BadSettings, match=f"It did not answer within 0 s.*{tmp_path / 'log'}"):
        supervisor.wait_until(lambda: False, "It", 0.0)


def test_a_log_that_cannot_be_written_is_named(supervisor: Supervisor, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="nowhere"):
        start(supervisor, "It", LASTING, tmp_path / "nowhere" / "log")
