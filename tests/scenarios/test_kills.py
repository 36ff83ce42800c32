"""Killed at random moments, and its database restarted under it, the product ends as if nothing had happened (P6).

Other lives: KILLS=1,2,3 pytest -m "proof or not proof" tests/scenarios/test_kills.py
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from crm_sync.errors import StoreTrouble
from crm_sync.flows.reconcile import examine
from crm_sync.flows.sync import sync
from crm_sync.store.postgres import running
from tests.integration.conftest import _state_dir
from tests.scenarios.conftest import SetStage
from tests.scenarios.deeds import Deeds
from tests.scenarios.dying import ANY, Syncing, killed_sync, small_pages
from tests.scenarios.folk import settle_in
from tests.scenarios.portrait import difference, portrait, twins
from tests.scenarios.reading import compare
from tests.scenarios.stage import Stage, set_up

SEEDS = [int(seed) for seed in os.environ.get("KILLS", "11").split(",")]
KNOBS = ("page_rows=4",)
LONGEST_DELAY_SECONDS = 0.2
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT
"""How PostgreSQL is told to stop: all sessions are ended at once, with a clean end; without, as in a crash."""


@dataclass
class Server:
    """A database server of one stage's own."""

    state_dir: Path
    url: str
    stops: list[signal.Signals] = field(default_factory=list)

    def stop(self, how: signal.Signals) -> None:
        """Stop it; its keeper starts it again."""
        self.stops.append(how)
        os.kill(self._pid(), how)

    def wait_until_back(self) -> None:
        """Wait until it answers again."""
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, "the server does not come back"
                time.sleep(0.05)

    def log(self) -> str:
        """Return what it wrote."""
        return (self.state_dir / "postgres" / "server.log").read_text(encoding="utf-8")

    def _pid(self) -> int:
        return int(json.loads((self.state_dir / "postgres" / "server.json").read_text(encoding="utf-8"))["pid"])


@contextmanager
def own_server() -> Iterator[Server]:
    state_dir = _state_dir("crm-sync-kills-")
    with running(state_dir) as url:
        yield Server(state_dir, url)
    deadline = time.monotonic() + 60
    while (state_dir / "postgres" / "server.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    shutil.rmtree(state_dir)


@pytest.fixture(scope="module", autouse=True)
def _small_pages() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        small_pages(patch.setattr)
        yield


def count_boundaries(stage: Stage) -> int:
    """Run an undisturbed sync; return how many boundaries it passed."""
    passed: list[str] = []
    with stage.opened() as ctx:
        ctx.boundary = passed.append
        sync(ctx)
    return len(passed)


def compared(stage: Stage) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what the product's own reconciliation says of each stream; AssertionError where anything drifts."""
    with stage.opened("reconcile") as ctx:
        reports = [examine(ctx, connection, entity) for connection, entity in stage.specs.mappings]
    assert [line for report in reports for line in report.differences()] == []
    assert sum(report.compared for report in reports) > 50
    return {
        (r.connection, r.entity): {"read": r.read, "compared": r.compared, "classes": r.classes, "fields": r.fields}
        for r in reports
    }


class Trouble:
    """What befalls one stage: seeded kills and restarts, while people live on."""

    def __init__(self, stage: Stage, server: Server, seed: int) -> None:
        self.stage, self.server = stage, server
        self.dice = random.Random(seed)
        self.kills = {"at a boundary": 0, "between boundaries": 0}
        self.attempts = 0
        self.failures: list[tuple[str, str]] = []
        """How syncs ended whose server went away."""

    @property
    def struck(self) -> int:
        return sum(self.kills.values())

    def kill(self, boundaries: int, meanwhile: Callable[[], None]) -> None:
        """Kill a sync somewhere among so many boundaries; `meanwhile` is done once it is there."""
        self.attempts += 1
        if self.dice.random() < 0.4:
            meanwhile()
            self.kills["at a boundary"] += killed_sync(self.stage, ANY, self.dice.randrange(boundaries) + 1)
            return
        syncing = Syncing(self.stage)
        syncing.has_passed(self.dice.randrange(boundaries))
        meanwhile()
        time.sleep(self.dice.uniform(0, LONGEST_DELAY_SECONDS))
        self.kills["between boundaries"] += syncing.kill()

    def restart(self, how: signal.Signals, boundaries: int) -> bool:
        """Restart the server under a sync at work; False where that had come to its end before."""
        syncing = Syncing(self.stage)
        there = syncing.has_passed(self.dice.randrange(boundaries // 2))
        time.sleep(self.dice.uniform(0, LONGEST_DELAY_SECONDS / 2))
        self.server.stop(how)
        code = syncing.end()
        self.server.wait_until_back()
        if not there or syncing.missed == {}:
            return False
        if syncing.missed is None:
            assert syncing.failure is not None, f"ended with {code} and no error of ours"
            assert code in (1, 2)
            self.failures.append(syncing.failure)
        else:
            # The server was back so soon that the others went on; those whose statement was cut off say so.
            self.failures += [(why.partition(":")[0], why) for why in syncing.missed.values()]
        return True


def lived_through(calm: Deeds, troubled: Deeds, trouble: Trouble, kills: int, restarts: list[signal.Signals]) -> None:
    """Let people live on in both stages until all of the trouble has struck."""
    waiting = list(restarts)
    while trouble.struck < kills or waiting:
        assert trouble.attempts <= 3 * kills + 10, f"hardly any trouble strikes: {trouble.kills}"
        for deeds in (calm, troubled):
            deeds.arrive()
            deeds.edit_in_the_hub()
        blows = trouble.dice.randrange(2, 5)
        edits = [trouble.dice.randrange(0, 4) for _ in range(blows + 1)]
        calm.edit(sum(edits))
        boundaries = count_boundaries(calm.folk.stage)
        calm.folk.stage.settle()
        troubled.edit(edits[0])
        if waiting and trouble.restart(waiting[0], boundaries):
            waiting.pop(0)
        for some in edits[1:]:
            if trouble.struck < kills:
                trouble.kill(boundaries, lambda some=some: troubled.edit(some))  # type: ignore[misc]
            else:
                troubled.edit(some)
        assert calm.done == troubled.done


@pytest.mark.parametrize(
    ("kills", "restarts"),
    [
        pytest.param(5, [IMMEDIATE], id="5 kills"),
        pytest.param(20, [IMMEDIATE, FAST, IMMEDIATE, FAST], id="20 kills", marks=pytest.mark.proof),
    ],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_random_kills_and_restarts_leave_no_trace(
    set_stage: SetStage, tmp_path: Path, seed: int, kills: int, restarts: list[signal.Signals]
) -> None:
    with own_server() as server, set_stage(knobs=KNOBS) as quiet, set_up(tmp_path, server.url, knobs=KNOBS) as stage:
        calm, troubled = Deeds(settle_in(quiet), seed), Deeds(settle_in(stage), seed)
        trouble = Trouble(stage, server, seed)
        boundaries = count_boundaries(quiet)
        trouble.kill(boundaries, lambda: None)  # during its first sync as well
        # An edit before two records are linked is judged otherwise than one after, so both must be.
        quiet.settle()
        stage.settle()
        lived_through(calm, troubled, trouble, kills, restarts)
        quiet.settle()
        rounds = stage.settle()
        assert rounds[-1].missed == {}

        print(f"seed {seed}: {trouble.kills} of {trouble.attempts} syncs; {server.stops}; {trouble.failures}")
        assert trouble.struck == kills
        assert min(trouble.kills.values()) >= 1
        assert server.log().count("automatic recovery in progress") == restarts.count(IMMEDIATE)
        assert len(trouble.failures) >= len(restarts)
        # Cut off in a statement, or refused while the server was away: told in one line, with the next step.
        assert {kind for kind, _ in trouble.failures} <= {StoreTrouble.__name__}
        for _, words in trouble.failures:
            assert "\n" not in words
            assert "database" in words
        assert stage.count("select count(*) from run where state <> 'done'") >= kills

        assert difference(portrait(quiet, calm.folk.labels()), portrait(stage, troubled.folk.labels())) == []
        assert twins(stage) == []
        stage.check_books()
        assert stage.rows("select connection, entity from outbox") == []
        for entity in ("account", "contact"):
            assert compare(stage, entity).differences == []
        assert compared(stage) == compared(quiet)
        assert stage.sync(full=True).writes == {}
