"""The HubSpot connector reads a pretend portal: what only HubSpot does (the contract suite tells the rest)."""

# ruff: noqa: F811 - fixtures are imported by name

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from crm_sync.connectors.base import Connector
from crm_sync.connectors.hubspot.decoding import decode
from crm_sync.errors import CursorExpired
from crm_sync.ports import Lane
from crm_sync.specs.model import MappingSpec
from tests.unit.connectors.hubspot_world import (  # noqa: F401
    COMPANIES,
    companies,
    contacts,
    creation,
    hubspot,
    made,
    portal,
    ports,
    specs,
)
from tests.unit.emulators.hubspot_portal import Portal


def test_a_long_read_shares_association_calls_and_resumes_in_the_middle(
    hubspot: Connector, portal: Portal, contacts: MappingSpec, companies: MappingSpec
) -> None:
    (company,) = made(hubspot, companies, creation(1, name="Acme"))
    made(hubspot, contacts, *(creation(number, firstname=f"n{number}", company=company) for number in range(450)))
    portal.calls()
    since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    pages = list(hubspot.changes(contacts, since, None, Lane.INCREMENTAL))
    assert [len(page.batch) for page in pages] == [200, 200, 50]
    assert portal.calls() == {
        "POST /crm/v3/objects/contacts/search": 3,
        "POST /crm/v4/associations/contacts/companies/batch/read": 1,
    }
    assert sum(page.calls for page in pages) == 4
    assert [page.watermark is not None for page in pages] == [False, False, True]
    assert set(pages[1].batch.values[COMPANIES]) == {company}
    rest = list(hubspot.changes(contacts, since, pages[0].cursor, Lane.INCREMENTAL))
    assert [one for page in rest for one in page.batch.record_ids] == [
        one for page in pages[1:] for one in page.batch.record_ids
    ]
    assert rest[-1].watermark == pages[-1].watermark


def test_reading_nothing_new_costs_one_call(hubspot: Connector, portal: Portal, contacts: MappingSpec) -> None:
    made(hubspot, contacts, creation(1, firstname="Ann"))
    portal.calls()
    later = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    (page,) = hubspot.changes(contacts, later, None, Lane.INCREMENTAL)
    assert len(page.batch) == 0 and page.watermark is not None and page.calls == 1
    assert sum(portal.calls().values()) == 1


def test_a_record_that_the_index_showed_late_is_read_in_the_next_overlap(
    hubspot: Connector, portal: Portal, contacts: MappingSpec
) -> None:
    portal.control("knobs", {"index_lag_seconds": 30})
    (id,) = made(hubspot, contacts, creation(1, firstname="Ann"))
    since = (datetime.now(UTC) - timedelta(seconds=10)).isoformat()
    (first,) = hubspot.changes(contacts, since, None, Lane.INCREMENTAL)
    assert first.batch.record_ids == []
    portal.control("knobs", {"index_lag_seconds": 0})
    (second,) = hubspot.changes(contacts, first.watermark, None, Lane.INCREMENTAL)
    assert second.batch.record_ids == [id]


def test_a_list_tells_no_company_from_companies_not_read(hubspot: Connector, contacts: MappingSpec) -> None:
    made(hubspot, contacts, creation(1, firstname="Ann"))
    (page,) = hubspot.snapshot(contacts, None, Lane.BACKFILL)
    assert page.batch.values[COMPANIES][0] is None
    assert decode(hubspot.name, contacts, page.batch.raw).values[COMPANIES][0] is None


def test_a_snapshot_resumes_from_the_cursor_of_a_page(hubspot: Connector, contacts: MappingSpec) -> None:
    made(hubspot, contacts, *(creation(number, firstname=f"n{number}") for number in range(230)))
    pages = list(hubspot.snapshot(contacts, None, Lane.BACKFILL))
    assert [len(page.batch) for page in pages] == [100, 100, 30]
    rest = list(hubspot.snapshot(contacts, pages[1].cursor, Lane.BACKFILL))
    assert [page.batch.record_ids for page in rest] == [pages[2].batch.record_ids]
    assert rest[-1].watermark == pages[-1].watermark


@pytest.mark.parametrize("resume", ["not JSON", "[]", '{"after": "not a number"}'])
def test_a_cursor_that_is_not_hubspots_starts_a_full_read(
    hubspot: Connector, contacts: MappingSpec, resume: str
) -> None:
    with pytest.raises(CursorExpired):
        list(hubspot.snapshot(contacts, resume, Lane.BACKFILL))


def test_a_window_reads_by_modification_time_and_gives_no_watermark(
    hubspot: Connector, portal: Portal, contacts: MappingSpec
) -> None:
    made(hubspot, contacts, creation(1, firstname="Ann"))
    old = int(datetime(2026, 2, 3, tzinfo=UTC).timestamp() * 1_000_000)
    portal.state.insert("contacts", "100", {"firstname": "Old"}, created_us=old, modified_us=old)
    (page,) = hubspot.snapshot(contacts, None, Lane.BACKFILL, ("2026-02-03", "2026-02-04"))
    assert page.batch.record_ids == ["100"] and page.watermark is None


def test_a_mapped_property_that_does_not_exist_is_absent_and_an_omitted_one_is_null(
    hubspot: Connector, portal: Portal, contacts: MappingSpec
) -> None:
    (id,) = made(hubspot, contacts, creation(1, firstname="Ann"))
    ghost = replace(contacts.field("first_name"), field="ghost", source="no_such_property")
    mapping = replace(contacts, fields=(*contacts.fields, ghost))
    batch = hubspot.fetch(mapping, [id], Lane.NOTICE)
    assert repr(batch.values["no_such_property"][0]) == "MISSING" and batch.values["city"][0] is None
    answer = portal.send("GET", f"/crm/v3/objects/contacts/{id}?properties=firstname").json()
    envelope = {"status": "COMPLETE", "results": [answer]}
    portal.control("faults", {"action": "status", "status": 200, "path": "batch/read", "body": envelope})
    assert hubspot.fetch(contacts, [id], Lane.NOTICE).values["city"][0] is None


def test_fetching_tells_live_deleted_merged_and_unknown_apart(
    hubspot: Connector, portal: Portal, contacts: MappingSpec
) -> None:
    live, gone, winner, loser = made(hubspot, contacts, *(creation(n, firstname=f"n{n}") for n in range(4)))
    portal.control("delete", {"object": "contacts", "id": gone})
    body = {"primaryObjectId": winner, "objectIdToMerge": loser}
    merged = portal.send("POST", "/crm/v3/objects/contacts/merge", body).json()["id"]
    batch = hubspot.fetch(contacts, [live, gone, winner, loser, "5", live], Lane.NOTICE)
    assert batch.record_ids == [live, gone, winner, loser, "5"]
    assert batch.deleted.tolist() == [False, True, True, True, True]
    assert batch.merged_into == [None, None, merged, merged, None]
    again = decode(hubspot.name, contacts, batch.raw)
    assert (again.deleted == batch.deleted).all() and again.versions == batch.versions
