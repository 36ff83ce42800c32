"""Provision, describe and read through the connector, against the pretend Dataverse."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
import requests

from crm_sync.connectors.dynamics.connector import DynamicsConnector
from crm_sync.emulators.launcher import EmulatorProcess, environment
from crm_sync.errors import CursorExpired, Refused
from crm_sync.ports import Lane
from tests.unit.connectors.dynamics.world import (
    ACCOUNT,
    CONTACT,
    Environment,
    Ports,
    changes,
    connect,
    create,
    ids,
    made,
    watermark,
    write,
)

# -- provisioning and describing


def test_provisioning_twice_changes_nothing_more(connector: DynamicsConnector) -> None:
    steps = connector.provision(CONTACT, apply=True)
    assert [step.what for step in steps] == [
        "column crmsync_hubid",
        "alternate key on crmsync_hubid",
        "change tracking",
    ]
    assert not any(step.needed for step in steps)


def test_a_fresh_environment_lacks_everything_until_applied(tmp_path: Path) -> None:
    with EmulatorProcess(tmp_path, only=("dynamics",)) as running:
        connector, _ = connect(environment(running.addresses))
        assert all(step.needed for step in connector.provision(ACCOUNT, apply=False))
        with pytest.raises(Refused):
            list(connector.changes(ACCOUNT, None, None, Lane.INCREMENTAL))
        connector.provision(ACCOUNT, apply=True)
        assert not any(step.needed for step in connector.provision(ACCOUNT, apply=False))
        assert len(list(connector.changes(ACCOUNT, None, None, Lane.INCREMENTAL))) == 1
        connector.close()


def test_the_description_knows_lengths_options_and_lookups(connector: DynamicsConnector) -> None:
    fields = connector.describe(CONTACT).fields
    assert fields["jobtitle"].max_length == 100
    assert fields["gendercode"].options == ("1", "2")
    assert fields["_parentcustomerid_value"].type == "Customer"
    assert fields["crmsync_hubid"].unique and not fields["fullname"].writable


# -- reading


def test_nothing_changed_costs_one_call(connector: DynamicsConnector) -> None:
    since = watermark(changes(connector, None))
    (page,) = changes(connector, since)
    assert (len(page.batch), page.calls) == (0, 1)
    assert watermark([page])


def test_edits_creations_and_deletions_all_show(connector: DynamicsConnector, crm: Environment) -> None:
    edited, deleted = made(connector, lastname="Ek").record_id, made(connector, lastname="Oz").record_id
    since = watermark(changes(connector, None))
    crm.control("edit", {"object": "contact", "id": edited, "values": {"firstname": "Eva"}})
    crm.control("delete", {"object": "contact", "id": deleted})
    created = crm.control("create", {"object": "contact", "values": {"lastname": "Ny"}})["id"]
    (page,) = changes(connector, since)
    shown = dict(zip(page.batch.record_ids, page.batch.deleted, strict=True))
    assert shown == {edited: False, deleted: True, created: False}
    at = page.batch.record_ids.index(str(edited))
    assert page.batch.values["firstname"][at] == "Eva"
    assert changes(connector, watermark([page]))[0].batch.record_ids == []


def test_a_merge_shows_the_loser_and_where_it_went(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    winner, loser = made(connector, lastname="Win").record_id, made(connector, lastname="Lose").record_id
    since = watermark(changes(connector, None))
    token = ports.stored
    assert token is not None
    kind = "Microsoft.Dynamics.CRM.contact"
    body = {
        "Target": {"contactid": winner, "@odata.type": kind},
        "Subordinate": {"contactid": loser, "@odata.type": kind},
        "UpdateContent": {"@odata.type": kind, "firstname": "Both"},
        "PerformParentingChecks": False,
    }
    answer = requests.post(
        f"{crm.url}/api/data/v9.2/Merge",
        json=body,
        headers={"Authorization": f"Bearer {token.access}"},
        verify=crm.variables["CRM_SYNC_CA_BUNDLE"],
        timeout=10,
    )
    assert answer.status_code == 204
    (page,) = changes(connector, since)
    at = page.batch.record_ids.index(str(loser))
    assert (page.batch.deleted[at], page.batch.merged_into[at]) == (True, winner)


def test_a_long_read_pages_resumes_and_loses_no_change_made_meanwhile(
    connector: DynamicsConnector, crm: Environment
) -> None:
    for number in range(12):
        made(connector, lastname=f"Page {number}")
    everything = set(ids(changes(connector, None)))
    crm.control("knobs", {"page_rows": 5})
    reading = connector.changes(CONTACT, None, None, Lane.BACKFILL)
    first = next(reading)
    assert len(first.batch) == 5 and first.cursor is not None and first.watermark is None
    early = first.batch.record_ids[0]
    crm.control("edit", {"object": "contact", "id": early, "values": {"firstname": "Meanwhile"}})
    rest = changes(connector, None, resume=first.cursor)
    assert set(ids([first, *rest])) == everything
    late = [page for page in rest if early in page.batch.record_ids]
    assert late, "an edit behind the read must come with it or with the next"
    assert rest[-1].cursor is None and watermark(rest)
    for page in rest[:-1]:
        assert page.cursor is not None
    again = changes(connector, None, resume=rest[-2].cursor)
    assert watermark(again) == watermark(rest)


def test_an_incremental_read_pages_and_resumes_too(connector: DynamicsConnector, crm: Environment) -> None:
    since = watermark(changes(connector, None))
    new = {made(connector, lastname=f"New {number}").record_id for number in range(7)}
    crm.control("knobs", {"page_rows": 3})
    first = next(connector.changes(CONTACT, since, None, Lane.INCREMENTAL))
    rest = changes(connector, since, resume=first.cursor)
    assert set(ids([first, *rest])) == new
    assert changes(connector, watermark(rest))[0].batch.record_ids == []


def test_a_window_reads_by_stamp_and_gives_no_watermark(connector: DynamicsConnector, crm: Environment) -> None:
    crm.control("knobs", {"page_rows": 4})
    all_of_them = set(ids(changes(connector, None)))
    pages = list(connector.snapshot(CONTACT, None, Lane.BACKFILL, ("2020-01-01", "2100-01-01")))
    assert set(ids(pages)) == all_of_them and all(page.watermark is None for page in pages)
    resumed = list(connector.snapshot(CONTACT, pages[0].cursor, Lane.BACKFILL, ("2020-01-01", "2100-01-01")))
    assert ids(resumed) == ids(pages[1:])
    (empty,) = connector.snapshot(CONTACT, None, Lane.BACKFILL, ("2020-01-01", "2020-01-02"))
    assert len(empty.batch) == 0


def test_an_expired_token_asks_for_a_full_read(connector: DynamicsConnector, crm: Environment) -> None:
    since = watermark(changes(connector, None))
    crm.control("knobs", {"delta_seconds": -1})
    with pytest.raises(CursorExpired):
        changes(connector, since)
    crm.control("knobs", {"delta_seconds": 604800})
    assert watermark(list(connector.snapshot(CONTACT, None, Lane.BACKFILL)))


def test_a_stream_of_other_columns_or_no_stream_at_all_asks_for_a_full_read(connector: DynamicsConnector) -> None:
    other = watermark(list(connector.changes(ACCOUNT, None, None, Lane.INCREMENTAL)))
    for text in (other, "nonsense", '{"select": 1}'):
        with pytest.raises(CursorExpired):
            changes(connector, text)


def test_a_token_never_travels_to_another_host(connector: DynamicsConnector, ports: Ports) -> None:
    since = watermark(changes(connector, None))
    before = len(ports.operations)
    with pytest.raises(CursorExpired):
        changes(connector, since.replace("localhost", "elsewhere.example"))
    assert len(ports.operations) == before


def test_fetching_tells_what_is_not_there(connector: DynamicsConnector) -> None:
    hub_id = uuid4()
    (outcome,) = write(connector, create(hub_id, lastname="Here", donotbulkemail=True))
    missing, never = str(uuid4()), "not-a-guid"
    fetched = connector.fetch(CONTACT, [missing, str(outcome.record_id).upper(), never], Lane.NOTICE)
    assert fetched.record_ids == [missing, outcome.record_id, never]
    assert list(fetched.deleted) == [True, False, True]
    found = connector.fetch_by_key(CONTACT, [str(uuid4()), str(hub_id)], Lane.NOTICE)
    assert (found.record_ids, found.hub_ids) == ([outcome.record_id], [str(hub_id)])
    assert (found.versions, found.values["donotbulkemail"][0]) == ([outcome.version], True)


def test_many_ids_are_fetched_within_the_length_of_an_address(connector: DynamicsConnector, ports: Ports) -> None:
    before = len(ports.operations)
    assert connector.fetch(CONTACT, [str(uuid4()) for _ in range(301)], Lane.RECONCILE).deleted.all()
    assert ports.operations[before:].count("fetch contacts") == 2
