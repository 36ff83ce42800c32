"""Every connector reads everything, everything that changed, and exactly what was asked for."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pytest

from crm_sync.connectors import decode
from crm_sync.errors import CursorExpired
from crm_sync.records import MISSING, Page, SourceBatch
from crm_sync.specs.model import MappingSpec
from tests.contract.side import LANE, Side, ids_of


def full(side: Side, mapping: MappingSpec) -> list[Page]:
    return list(side.connector.snapshot(mapping, None, LANE))


def changes(side: Side, mapping: MappingSpec, watermark: str | None) -> list[Page]:
    return list(side.connector.changes(mapping, watermark, None, LANE))


def watermark_of(pages: list[Page]) -> str:
    assert [page.watermark is not None for page in pages] == [False] * (len(pages) - 1) + [True]
    watermark = pages[-1].watermark
    assert watermark is not None
    return watermark


def rows_by_id(batch: SourceBatch) -> dict[str, int]:
    return {id: row for row, id in enumerate(batch.record_ids)}


def check_shape(side: Side, mapping: MappingSpec, batch: SourceBatch) -> None:
    n = len(batch)
    assert (batch.connection, batch.entity, batch.object) == (side.connection.name, mapping.entity, mapping.object)
    assert set(batch.values) == {*mapping.source_fields, *(f.source for f in mapping.associations)}
    parallel = (batch.versions, batch.stamps, batch.deleted, batch.merged_into, batch.hub_ids, batch.raw)
    assert all(len(column) == n for column in parallel)
    assert all(len(c) == n and c.dtype == object for c in batch.values.values())
    assert batch.stamps.dtype == np.dtype("datetime64[us]") and batch.deleted.dtype == np.bool_
    for column in batch.values.values():
        assert all((value is MISSING) == gone for value, gone in zip(column, batch.deleted, strict=True) if gone)


@pytest.mark.parametrize("entity", ["account", "contact"])
def test_a_snapshot_holds_every_record_with_every_value(side: Side, entity: str) -> None:
    side.control("knobs", side.facts.knobs)
    mapping = side.account if entity == "account" else side.contact
    truth = side.everything(mapping)
    pages = full(side, mapping)
    assert len(pages) > 1 or entity == "account"
    live = {id for p in pages for id, gone in zip(p.batch.record_ids, p.batch.deleted, strict=True) if not gone}
    assert live == truth.keys()
    capabilities = side.connector.capabilities(mapping)
    precision = int(capabilities.precision_seconds * 1_000_000)
    for page in pages:
        check_shape(side, mapping, page.batch)
        for row, id in enumerate(page.batch.record_ids):
            if page.batch.deleted[row]:
                continue
            expected = side.shown(mapping, truth[id])
            for name, value in side.values(mapping, page.batch, row).items():
                told = expected[name]
                boolean = mapping.field(name).transform == "boolean"
                assert value == told or (not told and not value and (boolean or value in (None, "")))
            stamp = int(page.batch.stamps[row].astype("int64"))
            assert stamp == truth[id]["modified_us"] // precision * precision
    watermark_of(pages)
    assert sum(page.calls for page in pages) <= 2 * len(pages) + 2


def test_decoding_what_was_landed_gives_the_same_batch(side: Side) -> None:
    gone = side.person_creates(side.contact, last_name="Goner")
    watermark = watermark_of(full(side, side.contact))
    side.person_creates(side.contact, last_name="Decoded", first_name="None", email=f"{uuid4().hex}@decoded.example")
    side.person_deletes(side.contact, gone)
    pages = changes(side, side.contact, watermark)
    pages += list(side.connector.snapshot(side.account, None, LANE))
    pages.append(Page(side.connector.fetch(side.contact, [gone], LANE), None, None))
    for page in pages:
        mapping = side.contact if page.batch.entity == "contact" else side.account
        again = decode(side.connection, mapping, page.batch.raw)
        for name in ("connection", "entity", "object", "record_ids", "versions", "merged_into", "hub_ids", "raw"):
            assert getattr(again, name) == getattr(page.batch, name), name
        assert np.array_equal(again.stamps, page.batch.stamps) and np.array_equal(again.deleted, page.batch.deleted)
        assert {k: list(v) for k, v in again.values.items()} == {k: list(v) for k, v in page.batch.values.items()}


def test_an_incremental_read_sees_edits_creations_and_deletions(side: Side) -> None:
    edited = side.person_creates(side.contact, last_name="Before", job_title="Clerk")
    gone = side.person_creates(side.contact, last_name="Doomed")
    watermark = watermark_of(changes(side, side.contact, None))
    side.person_edits(side.contact, edited, job_title="Chief")
    made = side.person_creates(side.contact, last_name="After")
    side.person_deletes(side.contact, gone)
    pages = changes(side, side.contact, watermark)
    seen: dict[str, dict[str, object]] = {}
    deleted: set[str] = set()
    for page in pages:
        check_shape(side, side.contact, page.batch)
        for id, row in rows_by_id(page.batch).items():
            seen[id] = side.values(side.contact, page.batch, row)
            if page.batch.deleted[row]:
                deleted.add(id)
    assert seen[edited]["job_title"] == "Chief" and seen[made]["last_name"] == "After"
    assert len(seen) < 200
    if side.facts.deletions:
        assert gone in deleted and not deleted & {edited, made}
    else:
        assert not deleted
    batch = side.connector.fetch(side.contact, [gone], LANE)
    assert batch.record_ids == [gone] and batch.deleted.tolist() == [True]
    assert changes(side, side.contact, watermark_of(pages)) != []


def test_a_changed_reference_is_seen(side: Side) -> None:
    account = side.person_creates(side.account, name="Target")
    contact = side.person_creates(side.contact, last_name="Mover", account=account)
    batch = side.connector.fetch(side.contact, [contact], LANE)
    assert side.values(side.contact, batch, 0)["account"] == account
    other = side.person_creates(side.account, name="Other")
    side.person_edits(side.contact, contact, account=other, job_title="Moved")
    batch = side.connector.fetch(side.contact, [contact], LANE)
    assert side.values(side.contact, batch, 0)["account"] == other
    side.person_edits(side.contact, contact, account=None)
    batch = side.connector.fetch(side.contact, [contact], LANE)
    assert side.values(side.contact, batch, 0)["account"] is None


def test_a_merged_record_leads_to_the_one_that_is_left(side: Side) -> None:
    if not side.facts.merges:
        pytest.skip("this CRM keeps a merged record, deactivated")
    winner, loser = (side.person_creates(side.contact, last_name=name) for name in ("Winner", "Loser"))
    left = side.person_merges(side.contact, winner, loser)
    batch = side.connector.fetch(side.contact, [left, loser], LANE)
    assert dict(zip(batch.record_ids, batch.deleted.tolist(), strict=True)) == {left: False, loser: True}
    assert dict(zip(batch.record_ids, batch.merged_into, strict=True)) == {left: None, loser: left}


def test_changes_in_the_watermarks_own_moment_are_not_lost(side: Side) -> None:
    """Stamps may be as coarse as a second: edits before, during and after a read share one."""
    records = [side.person_creates(side.account, name=f"Tie {n}") for n in range(6)]
    watermark = watermark_of(changes(side, side.account, None))
    latest: dict[str, str] = {}
    for turn in range(4):
        for n, id in enumerate(records):
            side.person_edits(side.account, id, city=f"Turn {turn} {n}")
            if n == 2:
                pages = changes(side, side.account, watermark)
                watermark = watermark_of(pages)
                for page in pages:
                    cities = page.batch.values[side.account.field("city").source]
                    latest |= dict(zip(page.batch.record_ids, cities, strict=True))
    for page in changes(side, side.account, watermark):
        cities = page.batch.values[side.account.field("city").source]
        latest |= dict(zip(page.batch.record_ids, cities, strict=True))
    assert [latest[id] for id in records] == [f"Turn 3 {n}" for n in range(6)]


def test_a_read_resumes_behind_any_page(side: Side) -> None:
    side.control("knobs", side.facts.knobs)
    expected = set(side.everything(side.contact))
    for start in (side.connector.snapshot, lambda m, r, lane: side.connector.changes(m, None, r, lane)):
        first = next(start(side.contact, None, LANE))
        assert first.cursor is not None and first.watermark is None
        rest = list(start(side.contact, first.cursor, LANE))
        assert expected <= {*first.batch.record_ids, *ids_of(rest)}
        assert len(set(ids_of(rest))) < len(expected)
        made = side.person_creates(side.contact, last_name="Late")
        assert made in ids_of(changes(side, side.contact, watermark_of(rest)))
        expected.add(made)


def test_what_changes_during_a_read_is_seen_by_it_or_by_the_next(side: Side) -> None:
    side.control("knobs", side.facts.knobs)
    reading = side.connector.snapshot(side.contact, None, LANE)
    pages = [next(reading)]
    victim = pages[0].batch.record_ids[0]
    side.person_edits(side.contact, victim, city="Midway")
    made = side.person_creates(side.contact, last_name="Midway")
    pages += list(reading)
    following = changes(side, side.contact, watermark_of(pages))
    source = side.contact.field("city").source
    cities = {
        city
        for page in [*pages, *following]
        for id, city in zip(page.batch.record_ids, page.batch.values[source], strict=True)
        if id == victim
    }
    assert "Midway" in cities
    assert made in ids_of(pages) + ids_of(following)


def test_reading_again_without_changes_is_cheap(side: Side) -> None:
    for mapping in (side.account, side.contact):
        watermark = watermark_of(changes(side, mapping, None))
        side.control("calls/reset", {})
        pages = changes(side, mapping, watermark)
        assert side.calls() <= 2
        assert sum(page.calls for page in pages) == side.calls()


def test_a_window_holds_what_was_last_modified_in_it(side: Side) -> None:
    today = datetime.now(UTC).date()
    start, end = today - timedelta(days=40), today - timedelta(days=30)
    pages = list(side.connector.snapshot(side.contact, None, LANE, window=(start.isoformat(), end.isoformat())))
    low, high = (int(datetime(d.year, d.month, d.day, tzinfo=UTC).timestamp() * 1e6) for d in (start, end))
    expected = {id for id, one in side.everything(side.contact).items() if low <= one["modified_us"] < high}
    assert expected and set(ids_of(pages)) == expected
    assert all(page.watermark is None for page in pages)


def test_records_are_fetched_by_id_and_missing_ones_are_deleted(side: Side) -> None:
    known = sorted(side.everything(side.contact))[:350]
    unknown = side.facts.missing_account if side.crm != "salesforce" else "003000000000001AAA"
    batch = side.connector.fetch(side.contact, [unknown, *known, known[0]], LANE)
    check_shape(side, side.contact, batch)
    assert set(batch.record_ids) == {unknown, *known}
    assert [id for id, gone in zip(batch.record_ids, batch.deleted, strict=True) if gone] == [unknown]
    empty = side.connector.fetch(side.contact, [], LANE)
    check_shape(side, side.contact, empty)
    assert len(empty) == 0


def test_records_are_fetched_by_our_key_at_once(side: Side) -> None:
    hub_ids = [uuid4() for _ in range(130)]
    outcomes = side.write(
        side.account, *(side.command(side.account, hub_id=h, name=f"Keyed {n}") for n, h in enumerate(hub_ids))
    )
    batch = side.connector.fetch_by_key(side.account, [str(uuid4()), *map(str, hub_ids)], LANE)
    check_shape(side, side.account, batch)
    found = dict(zip(batch.hub_ids, batch.record_ids, strict=True))
    assert found == {str(h): o.record_id for h, o in zip(hub_ids, outcomes, strict=True)}


def test_a_foreign_watermark_or_cursor_means_read_everything(side: Side) -> None:
    with pytest.raises(CursorExpired):
        list(side.connector.changes(side.contact, "no position at all", None, LANE))
    with pytest.raises(CursorExpired):
        list(side.connector.changes(side.contact, None, "no position at all", LANE))


def test_a_lagging_index_loses_nothing(side: Side) -> None:
    """Only HubSpot has such an index; the others must not mind the knob."""
    lag = 0.6
    watermark = watermark_of(changes(side, side.account, None))
    side.control("knobs", {"index_lag_seconds": lag})
    made = side.person_creates(side.account, name="Slowly indexed")
    seen = changes(side, side.account, watermark)
    found = ids_of(seen)
    time.sleep(lag + 0.1)
    found += ids_of(changes(side, side.account, watermark_of(seen)))
    assert made in found
