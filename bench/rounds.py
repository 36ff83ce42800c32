"""One measurement, in a process of its own: python -m bench.rounds CRM DIRECTORY [--memory-only].

An empty hub takes in all contacts of one CRM; the same is read again unchanged; one in a hundred is changed there; one
in a hundred is changed in the hub and sent. Prints one JSON document. bench.population fills DIRECTORY/crm.
"""

from __future__ import annotations

import dataclasses
import os
import re
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psycopg

from bench import floors
from bench.cpu import Cpu
from bench.crm import Asked, Crm
from bench.stopwatch import Stopwatch
from crm_sync.emulators.launcher import environment
from crm_sync.flows.absorb import absorb
from crm_sync.flows.context import Context, open_context
from crm_sync.flows.deliver import deliver
from crm_sync.flows.edit import edit
from crm_sync.flows.ingest import ingest
from crm_sync.flows.propagate import propagate
from crm_sync.flows.provision import provision
from crm_sync.ports import Lane
from crm_sync.settings import Settings
from crm_sync.store import postgres, runs
from crm_sync.store.crypto import new_master_key

CONFIG = Path(__file__).resolve().parents[1] / "config"
SHARE_CHANGED = 0.01
COUNTERS = (
    "run",
    "tally",
    "watermark",
    "lease",
    "api_call",
    "api_budget",
    "crm_token",
    "audit_operation",
    "schema_version",
)


@dataclass(slots=True)
class Round:
    """What one round took: `rows` read (or sent), `peak_mib` of the process so far.

    `written` are rows by table; `counters` those of tables that count runs and calls, whatever the records do.
    """

    name: str
    rows: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    server_cpu_seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    calls: int = 0
    written: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    peak_mib: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)


class Measurement:
    """The rounds of one CRM against one database of its own."""

    def __init__(self, crm: Crm, settings: Settings, database_url: str) -> None:
        self.crm, self.settings, self.database_url = crm, settings, database_url
        self.rounds: list[Round] = []

    @contextmanager
    def opened(self) -> Iterator[Context]:
        """Open the product."""
        with open_context(self.settings, kind="bench") as ctx:
            yield ctx

    def prepare(self) -> dict[str, Any]:
        """Provision the CRM, take in its accounts, measure reading and floors, the CRM computing and remembering."""
        told: dict[str, Any] = {}
        with self.opened() as ctx:
            provision(ctx, [self.crm.crm], apply=True)
            ingest(ctx, self.crm.crm, "account")
            absorb(ctx, "account")
            self.crm.remember()
            _read(ctx, self.crm.crm)
            told["read_remembered"] = asdict(_read(ctx, self.crm.crm))
            asked = self.crm.remember()
            self._floors(ctx, asked, told, "_remembered")
            self.crm.compute()
            told["read"] = asdict(_read(ctx, self.crm.crm))
            self._floors(ctx, asked, told, "")
        return told

    def _floors(self, ctx: Context, asked: Sequence[Asked], told: dict[str, Any], suffix: str) -> None:
        """Measure each floor twice; the faster one counts."""
        mapping = ctx.specs.mapping(self.crm.crm, "contact")
        entity = ctx.entity("contact")
        one = [self._timed(lambda: floors.read_and_parse(self.crm, asked)) for _ in range(2)]
        url = self.database_url
        two = [self._timed(lambda: floors.read_and_copy(self.crm, asked, url, entity, mapping)) for _ in range(2)]
        told[f"floor_1{suffix}"] = asdict(max(one, key=lambda f: f.rate))
        told[f"floor_2{suffix}"] = asdict(max(two, key=lambda f: f.rate))

    def _timed(self, measure: Callable[[], floors.Floor]) -> floors.Floor:
        cpu = Cpu(self.settings.state_dir)
        return dataclasses.replace(measure(), cpu_seconds=cpu.client() + cpu.server())

    def round(self, name: str, work: Callable[[Context], dict[str, int]]) -> Round:
        """Measure one round."""
        done, watch = Round(name), Stopwatch()
        before = self._written()
        with self.opened() as ctx:
            with watch.running():
                started, cpu = time.perf_counter(), Cpu(self.settings.state_dir)
                done.counts = {k: v for k, v in work(ctx).items() if v}
                done.seconds = time.perf_counter() - started
                done.cpu_seconds, done.server_cpu_seconds = cpu.client(), cpu.server()
            done.peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            ctx.journal.flush()
            calls = ctx.database.run(lambda conn: runs.calls(conn, [ctx.run_id]))
        done.calls = sum(calls.values())
        done.stages = {k: round(v, 3) for k, v in watch.seconds.items()}
        written = {t: n - before.get(t, 0) for t, n in self._written().items() if n != before.get(t, 0)}
        done.written = {t: n for t, n in written.items() if t not in COUNTERS}
        done.counters = {t: n for t, n in written.items() if t in COUNTERS}
        done.rows = done.counts.get("sent") or done.counts.get("read", 0)
        self.rounds.append(done)
        return done

    def _written(self) -> dict[str, int]:
        """Return table -> rows written so far; servers tell when the sessions that wrote have ended."""
        time.sleep(0.5)
        with psycopg.connect(self.database_url, autocommit=True) as conn:
            rows = conn.execute(
                "select relname, n_tup_ins + n_tup_upd + n_tup_del from pg_stat_user_tables "
                "where schemaname = 'crm_sync'"
            ).fetchall()
        return {re.sub(r"^audit_\d+_\d+$", "audit", name): int(count) for name, count in rows}

    def change_in_crm(self, share: float) -> None:
        """Change the city of some contacts at the CRM's screen."""
        with self.opened() as ctx:
            source = ctx.specs.mapping(self.crm.crm, "contact").field("city").source
            rows = ctx.database.run(
                lambda conn: conn.execute("select record_id from identity_link where entity = 'contact' order by 1")
            ).fetchall()
        step = int(1 / share)
        self.crm.edit_contacts([(row[0], {source: f"Ulm {n}"}) for n, row in enumerate(rows[::step])])

    def change_in_hub(self, share: float) -> None:
        """Change the city of some golden records, as a person at the hub."""
        with self.opened() as ctx:
            propagate(ctx, "contact")  # what was read needs planning before anything else
            rows = ctx.database.run(
                lambda conn: conn.execute(
                    "select hub_id from identity_link where entity = 'contact' and is_primary order by record_id"
                )
            ).fetchall()
            step = int(1 / share)
            for number, row in enumerate(rows[1::step]):
                edit(ctx, "contact", row[0], {"city": f"Bonn {number}"}, "bench")


def _read(ctx: Context, crm: str) -> floors.Floor:
    started = time.perf_counter()
    rows = size = 0
    for page in ctx.connector(crm).snapshot(ctx.specs.mapping(crm, "contact"), None, Lane.BACKFILL):
        rows += len(page.batch)
        size += sum(map(len, page.batch.raw))
    return floors.Floor(rows, size, time.perf_counter() - started)


def _take_in(crm: str, full: bool) -> Callable[[Context], dict[str, int]]:
    def work(ctx: Context) -> dict[str, int]:
        return dict(ingest(ctx, crm, "contact", full=full).totals + absorb(ctx, "contact").totals)

    return work


def _send(crm: str) -> Callable[[Context], dict[str, int]]:
    def work(ctx: Context) -> dict[str, int]:
        return dict(propagate(ctx, "contact").totals + deliver(ctx, crm, "contact").totals)

    return work


def _config(directory: Path, crm: str) -> Path:
    """Copy the shipped rules with this CRM alone and its limits lifted: the budget is not what is measured."""
    target = directory / "config"
    shutil.copytree(CONFIG, target)
    file = target / "connections.yaml"
    text = re.sub(r"requests_per_window: \d+", "requests_per_window: 1000000", file.read_text(encoding="utf-8"))
    parts = re.split(r"(?m)^(?=  [a-z]+:$)", text)
    parts = [p if p.startswith(f"  {crm}:") else p.replace("enabled: true", "enabled: false") for p in parts]
    file.write_text("".join(parts), encoding="utf-8")
    return target


def main(crm: str, directory: Path, *, memory_only: bool) -> dict[str, Any]:
    """Measure and return everything."""
    with Crm(directory / "crm", crm) as pretend, postgres.running(directory / "state") as url:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        variables = {
            **kept,
            **environment(pretend.addresses),
            "CRM_SYNC_STATE_DIR": str(directory / "state"),
            "CRM_SYNC_CONFIG_DIR": str(_config(directory, crm)),
            "CRM_SYNC_DATABASE_URL": url,
            "CRM_SYNC_MASTER_KEY": new_master_key(),
        }
        measurement = Measurement(pretend, Settings.load(variables), url)
        told: dict[str, Any] = {"crm": crm, "load": os.getloadavg()[0], **measurement.prepare()}
        measurement.round("empty hub", _take_in(crm, True))
        measurement.round("unchanged", _take_in(crm, True))
        if not memory_only:
            measurement.change_in_crm(SHARE_CHANGED)
            measurement.round("1 % changed", _take_in(crm, False))
            measurement.change_in_hub(SHARE_CHANGED)
            measurement.round("1 % sent", _send(crm))
        told["rounds"] = [asdict(r) for r in measurement.rounds]
    return told


if __name__ == "__main__":
    result = main(sys.argv[1], Path(sys.argv[2]), memory_only="--memory-only" in sys.argv)
    sys.stdout.write(orjson.dumps(result).decode() + "\n")
