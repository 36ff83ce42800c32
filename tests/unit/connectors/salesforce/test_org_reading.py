"""Read a whole org through the connector: what one run after another sees and costs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pytest

from crm_sync.connectors import decode
from crm_sync.connectors.salesforce.connector import SalesforceConnector
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.state import NewRecord
from crm_sync.errors import CursorExpired
from crm_sync.records import MISSING
from tests.unit.connectors.memory_ports import Ports
from tests.unit.connectors.salesforce.org import CONTACT, LANE, SPEC, Org, merged, rows


def test_a_first_read_pages_through_everything_and_tells_the_next_start(
    org: Org, connector: SalesforceConnector
) -> None:
    fresh = [NewRecord(ids.make("003", n + 1), {"LastName": f"N{n}", "Email": None}) for n in range(4500)]
    org.state.insert_many("Contact", fresh)
    pages = list(connector.changes(CONTACT, None, None, LANE))
    assert [len(page.batch) for page in pages] == [2000, 2000, 500]
    assert [page.calls for page in pages][1:] == [1, 1]
    assert [page.watermark is None for page in pages] == [True, True, False]
    assert len(set(merged(pages))) == 4500
    assert rows(pages[0].batch)[merged(pages)[0]] == {
        "LastName": pages[0].batch.values["LastName"][0],
        "Email": None,
        "HasOptedOutOfEmail": False,
        "Birthdate": None,
        "AccountId": None,
    }


def test_a_read_resumes_behind_a_committed_page_even_among_equal_stamps(
    org: Org, connector: SalesforceConnector
) -> None:
    fresh = [NewRecord(ids.make("003", n + 1), {"LastName": "Same"}, 10**15, 10**15) for n in range(2500)]
    org.state.insert_many("Contact", fresh)
    first = next(connector.changes(CONTACT, None, None, LANE))
    rest = list(connector.changes(CONTACT, None, first.cursor, LANE))
    assert sorted(merged([first, *rest])) == sorted(record.id for record in fresh)
    assert rest[-1].watermark is not None


def test_a_lost_query_locator_is_replaced_by_a_new_query(org: Org, connector: SalesforceConnector) -> None:
    org.state.insert_many("Contact", [NewRecord(ids.make("003", n + 1), {"LastName": "N"}) for n in range(2500)])
    lost = [{"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}]
    org.fault(method="GET", path=r"/query/0r8", action="status", status=400, body=lost)
    found = merged(list(connector.changes(CONTACT, None, None, LANE)))
    assert len(found) == len(set(found)) == 2500


def test_an_incremental_read_sees_edits_creations_and_deletions_and_costs_one_call(
    org: Org, connector: SalesforceConnector, ports: Ports
) -> None:
    old = [org.create({"LastName": f"Old{n}"}) for n in range(3)]
    for record_id in old:
        org.state.update("Contact", record_id, {}, modified_us=org.state.now_us() - 3600 * 10**6)
    (page,) = connector.changes(CONTACT, None, None, LANE)
    org.calls()
    (nothing,) = connector.changes(CONTACT, page.watermark, None, LANE)
    assert len(nothing.batch) == 0
    assert org.calls() == {"GET /services/data/vNN.N/queryAll": 1}
    new = org.create({"LastName": "New"})
    org.edit(old[0], {"LastName": "Edited"})
    org.ask("POST", "delete", {"object": "Contact", "id": old[1]})
    (changed,) = connector.changes(CONTACT, nothing.watermark, None, LANE)
    batch = changed.batch
    assert dict(zip(batch.record_ids, batch.deleted, strict=True)) == {new: False, old[0]: False, old[1]: True}
    assert all(value is MISSING for value in rows(batch)[old[1]].values())
    assert rows(batch)[old[0]]["LastName"] == "Edited"


def test_the_overlap_catches_rows_that_were_committed_behind_the_watermark(
    org: Org, connector: SalesforceConnector
) -> None:
    (page,) = connector.changes(CONTACT, None, None, LANE)
    late = org.create({"LastName": "Late"})
    org.state.update("Contact", late, {}, modified_us=org.state.now_us() - 50 * 10**6)
    (caught,) = connector.changes(CONTACT, page.watermark, None, LANE)
    assert caught.batch.record_ids == [late]


def test_a_merged_record_tells_its_winner(org: Org, connector: SalesforceConnector) -> None:
    winner, loser = org.create({"LastName": "A"}), org.create({"LastName": "B"})
    org.state.delete("Contact", loser, merged_into=winner)
    batch = connector.fetch(CONTACT, [loser], LANE)
    assert (batch.deleted.tolist(), batch.merged_into) == ([True], [winner])


def test_fetch_gives_every_id_once_and_unknown_ones_as_deleted(org: Org, connector: SalesforceConnector) -> None:
    known = org.create({"LastName": "Known"})
    unknown = "003Hs0000099999IAA"
    batch = connector.fetch(CONTACT, [known[:15], unknown, known], LANE)
    assert (batch.record_ids, batch.deleted.tolist()) == ([known, unknown], [False, True])


def test_many_ids_are_fetched_in_few_calls(org: Org, connector: SalesforceConnector) -> None:
    found = [ids.make("003", n + 1) for n in range(400)]
    org.state.insert_many("Contact", [NewRecord(one, {"LastName": "N"}) for one in found])
    assert connector.fetch(CONTACT, found, LANE).record_ids == found
    assert org.calls() == {"GET /services/data/vNN.N/queryAll": 3}


def test_raw_documents_give_the_same_batch_again(org: Org, connector: SalesforceConnector) -> None:
    org.ask("POST", "delete", {"object": "Contact", "id": org.create({"LastName": "Gone"})})
    org.create({"LastName": 'Zoë "Q" O\'Hara', "Crm_Sync_Id__c": str(uuid4())})
    (page,) = connector.changes(CONTACT, None, None, LANE)
    again = decode(SPEC, CONTACT, page.batch.raw)
    assert (again.record_ids, again.versions, again.hub_ids) == (
        page.batch.record_ids,
        page.batch.versions,
        page.batch.hub_ids,
    )
    assert np.array_equal(again.stamps, page.batch.stamps)
    assert rows(again) == rows(page.batch)
    assert again.deleted.tolist() == [True, False]


def test_reads_survive_a_dropped_connection_and_server_trouble(
    org: Org, connector: SalesforceConnector, ports: Ports
) -> None:
    org.create({"LastName": "A"})
    org.fault(path="queryAll", action="drop_before")
    org.fault(path="queryAll", action="status", status=503, body=[{"errorCode": "SERVER_UNAVAILABLE", "message": ""}])
    (page,) = connector.changes(CONTACT, None, None, LANE)
    assert (len(page.batch), page.calls, len(ports.slept)) == (1, 3, 2)


def test_a_hidden_field_is_absent_not_null(org: Org, connector: SalesforceConnector) -> None:
    record_id = org.create({"LastName": "A", "HasOptedOutOfEmail": True})
    org.ask("POST", "knobs", {"hidden_fields": ["Contact.HasOptedOutOfEmail"]})
    (page,) = connector.changes(CONTACT, None, None, LANE)
    assert rows(page.batch)[record_id]["HasOptedOutOfEmail"] is MISSING
    assert rows(page.batch)[record_id]["LastName"] == "A"
    assert page.calls == 3
    (again,) = connector.changes(CONTACT, None, None, LANE)
    assert again.calls == 1


def test_a_snapshot_leaves_out_deleted_records_and_may_be_limited_to_days(
    org: Org, connector: SalesforceConnector
) -> None:
    today, day = org.create({"LastName": "T"}), 24 * 3600 * 10**6
    org.ask("POST", "delete", {"object": "Contact", "id": org.create({"LastName": "Gone"})})
    older = org.create({"LastName": "O"})
    org.state.update("Contact", older, {}, modified_us=org.state.now_us() - 3 * day)
    whole = list(connector.snapshot(CONTACT, None, LANE))
    assert (merged(whole), whole[-1].watermark is not None) == ([older, today], True)
    now = datetime.now(UTC)
    window = ((now - timedelta(days=4)).date().isoformat(), (now - timedelta(days=1)).date().isoformat())
    part = list(connector.snapshot(CONTACT, None, LANE, window))
    assert (merged(part), part[-1].watermark) == ([older], None)


@pytest.mark.parametrize(("watermark", "resume"), [("yesterday", None), (None, "page 3"), (None, '["x","y",null]')])
def test_positions_that_are_not_ours_ask_for_a_full_read(
    org: Org, connector: SalesforceConnector, watermark: str | None, resume: str | None
) -> None:
    with pytest.raises(CursorExpired):
        list(connector.changes(CONTACT, watermark, resume, LANE))


def test_the_watermark_follows_the_clock_of_the_org_not_ours(
    org: Org, connector: SalesforceConnector, ports: Ports
) -> None:
    ports.time = datetime.now(UTC) + timedelta(hours=5)
    (page,) = connector.changes(CONTACT, None, None, LANE)
    assert page.watermark is not None
    assert abs(datetime.fromisoformat(page.watermark) - datetime.now(UTC)) < timedelta(minutes=5)
