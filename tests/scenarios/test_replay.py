"""Idempotence (P2) and cost that follows change (P10): doing anything again writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from crm_sync.connectors import decode
from crm_sync.flows.absorb import absorb, absorb_batch, part
from crm_sync.flows.context import Context
from crm_sync.flows.deliver import deliver
from crm_sync.flows.ingest import ingest
from crm_sync.flows.propagate import propagate
from crm_sync.flows.provision import provision
from crm_sync.store import landing, runs
from crm_sync.store.database import Connection
from tests.scenarios.conftest import SetStage
from tests.scenarios.reading import well_known
from tests.scenarios.screens import writing
from tests.scenarios.stage import Stage

KEPT = (
    "hub_record", "identity_link", "shadow", "audit", "match_key", "quarantine", "review", "parked_in",
    "parked_out", "withheld", "outbox", "hub_change", "inbox", "form", "subject_key", "data_key",
)  # fmt: skip
"""Tables in which repetition must not touch a row; what counts runs (run, tally, api_call, watermark) is not here."""

Print = dict[str, str]


def prints(stage: Stage) -> Print:
    """Return a print of every table: any row written anew changes it, even with the same contents."""
    return {
        table: stage.rows(
            f"select coalesce(md5(string_agg(t.xmin::text || t.ctid::text || t::text, '' order by t.ctid)), '') "
            f"from (select tableoid, xmin, ctid, * from {table} order by tableoid, ctid) t"
        )[0][0]
        for table in KEPT
    }


LANDED = "select page_id, landed_at from landing_page order by page_id"


def touched(before: Print, after: Print) -> list[str]:
    """Return the tables that were written to."""
    return [table for table in KEPT if before[table] != after[table]]


@pytest.fixture(scope="module")
def settled(set_stage: SetStage) -> Iterator[Stage]:
    """Return a stage at rest, in which what we wrote has been read."""
    with set_stage(seed=1848, accounts=20, contacts=100) as stage:
        stage.settle()
        stage.sync(full=True)  # associations that we wrote in HubSpot moved no stamp
        yield stage


def test_a_quiet_round_costs_six_calls_at_most_and_writes_no_row(settled: Stage) -> None:
    before, pages = prints(settled), settled.rows(LANDED)
    quiet = settled.sync()
    assert quiet.missed == {}
    assert touched(before, prints(settled)) == []
    assert settled.rows(LANDED) == pages
    assert quiet.writes == {}
    for connection, by in quiet.calls.items():
        # Two entities share a connection's calls; sign-in is counted for no entity.
        assert sum(by.values()) <= 6 * 2, (connection, by)
    assert max(int(row["api_calls"]) for row in quiet.report.rows) <= 6


def test_a_full_refresh_of_unchanged_data_only_reads(settled: Stage) -> None:
    before, pages = prints(settled), settled.rows(LANDED)
    full = settled.sync(full=True)
    live = sum(len(settled.records(c, e)) for c in settled.screens for e in ("account", "contact"))
    assert full.totals["read"] == live
    assert touched(before, prints(settled)) == []
    assert settled.rows(LANDED) == pages
    assert full.writes == {}


def test_landed_pages_absorbed_again_change_nothing(settled: Stage) -> None:
    before = prints(settled)
    rows = 0
    with settled.opened() as ctx:
        for connection, entity in ctx.specs.mappings:
            rows += ctx.locked(entity, lambda conn, c=connection, e=entity: _absorb_again(ctx, conn, c, e))
    assert rows >= settled.count("select count(*) from shadow") * 0.9
    assert touched(before, prints(settled)) == []
    assert settled.sync().writes == {}


def _absorb_again(ctx: Context, conn: Connection, connection: str, entity: str) -> int:
    lens = ctx.lens(connection, entity)
    conn.execute(
        "update landing_page set absorbed_at = null where connection = %s and entity = %s", [connection, entity]
    )
    pages = landing.pages_to_absorb(conn, ctx.keyring, entity, [connection], 1000)
    assert pages
    batches = [decode(lens.connection, lens.mapping, page.raw) for page in pages]
    done: Counter[str] = Counter()
    for number, batch in enumerate(batches):
        # Associations of HubSpot move no version: of two pages that tell of one version the later one counts.
        later = {pair for b in batches[number + 1 :] for pair in zip(b.record_ids, b.versions, strict=True)}
        pairs = enumerate(zip(batch.record_ids, batch.versions, strict=True))
        again = part(batch, [row for row, pair in pairs if pair not in later])
        runs.add_tally(conn, ctx.run_id, connection, entity, {"read": len(again)})
        done += absorb_batch(ctx, conn, lens, again, ctx.run_id)
        done["rows"] += len(again)
    assert set(+done) <= {"rows", "unchanged", "deduplicated", "out_of_scope"}, done
    conn.execute(
        "update landing_page set absorbed_at = now() where connection = %s and entity = %s", [connection, entity]
    )
    return done["rows"]


@pytest.mark.parametrize("stage_name", ["ingest", "absorb", "propagate", "deliver", "provision"])
def test_each_stage_again_changes_nothing(settled: Stage, stage_name: str) -> None:
    before = prints(settled)
    for screen in settled.screens.values():
        screen.reset_calls()
    with settled.opened() as ctx:
        streams = list(ctx.specs.mappings)
        again: dict[str, Callable[[], object]] = {
            "ingest": lambda: [ingest(ctx, c, e) for c, e in streams],
            "absorb": lambda: [absorb(ctx, e) for e in ctx.specs.entities],
            "propagate": lambda: [propagate(ctx, e) for e in ctx.specs.entities],
            "deliver": lambda: [deliver(ctx, c, e) for c, e in streams],
            "provision": lambda: provision(ctx, None, apply=True),
        }
        again[stage_name]()
    assert touched(before, prints(settled)) == []
    assert [name for name, screen in settled.screens.items() if writing(screen.calls())] == []


def test_planning_everything_anew_plans_nothing(settled: Stage) -> None:
    settled.rows(
        "insert into hub_change (hub_id, entity) select hub_id, entity from hub_record where united_into is null"
    )
    dead = settled.rows("select command_id, state from outbox order by 1")
    again = settled.sync()
    assert again.writes == {}
    assert again.totals["planned"] > 50
    assert settled.rows("select command_id, state from outbox order by 1") == dead


def test_work_follows_what_changed(settled: Stage) -> None:
    changed = dict(well_known(settled, "contact")[:3])
    for places in changed.values():
        settled.change("salesforce", "contact", places["salesforce"], city="Ulm")
    newest = settled.count("select max(audit_id) from audit")
    stamps = dict(settled.rows("select hub_id, xmin::text from hub_record"))
    round_ = settled.sync()
    moved = {h for h, x in settled.rows("select hub_id, xmin::text from hub_record") if stamps.get(h) != x}
    assert moved == set(changed)
    assert round_.totals["landed"] == 3
    assert round_.totals["applied"] == 3
    assert round_.sum("sent") == 6
    # In: three updates. Out: six commands.
    assert settled.count("select count(*) from audit where audit_id > %s", [newest]) == 9
    settled.settle()
