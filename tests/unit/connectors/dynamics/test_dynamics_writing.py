"""Write through the connector, against the pretend Dataverse."""

from __future__ import annotations

from uuid import uuid4

import requests

from crm_sync.connectors.dynamics.connector import DynamicsConnector
from crm_sync.errors import ErrorClass
from crm_sync.ports import Lane
from crm_sync.records import Action, Command, Status
from tests.unit.connectors.dynamics.world import (
    ACCOUNT,
    CONTACT,
    Environment,
    Ports,
    create,
    made,
    update,
    write,
)


def test_a_bad_command_fails_beside_good_neighbours(connector: DynamicsConnector) -> None:
    outcomes = write(
        connector,
        create(uuid4(), 1, lastname="Good"),
        create(uuid4(), 2, lastname="x" * 51),
        create(uuid4(), 3, lastname="Good", account=str(uuid4())),
        create(uuid4(), 4, lastname="Good", unknown="x"),
        create(uuid4(), 5, lastname="Good"),
    )
    assert [one.command_id for one in outcomes] == [1, 2, 3, 4, 5]
    assert [one.status is Status.DELIVERED for one in outcomes] == [True, False, False, False, True]
    assert [one.error_class for one in outcomes[1:4]] == [
        ErrorClass.VALIDATION,
        ErrorClass.REFERENCE,
        ErrorClass.SCHEMA,
    ]


def test_a_create_never_overwrites(connector: DynamicsConnector, crm: Environment) -> None:
    hub_id = uuid4()
    first, second = write(connector, create(hub_id, 1, lastname="First"), create(hub_id, 2, lastname="Second"))
    assert (first.status, second.status) == (Status.DELIVERED, Status.CHANGED)
    (record,) = crm.find("crmsync_hubid", str(hub_id))
    assert record["values"]["lastname"] == "First"


def test_our_own_version_is_in_the_receipt_and_the_next_update_may_build_on_it(connector: DynamicsConnector) -> None:
    created = made(connector, lastname="Li")
    (updated,) = write(connector, update(str(created.record_id), created.version, firstname="Ann"))
    assert updated.status is Status.DELIVERED and updated.version != created.version
    assert connector.fetch(CONTACT, [str(created.record_id)], Lane.NOTICE).versions == [updated.version]


def test_a_stale_update_and_one_of_a_deleted_row_change_nothing(connector: DynamicsConnector, crm: Environment) -> None:
    stale, gone = made(connector, lastname="Stale"), made(connector, lastname="Gone")
    crm.control("edit", {"object": "contact", "id": stale.record_id, "values": {"lastname": "Edited"}})
    crm.control("delete", {"object": "contact", "id": gone.record_id})
    outcomes = write(
        connector,
        update(str(stale.record_id), stale.version, lastname="Blind"),
        update(str(gone.record_id), gone.version, lastname="Blind"),
        update(str(gone.record_id), None, lastname="Blind"),
    )
    assert [one.status for one in outcomes] == [Status.CHANGED] * 3
    assert crm.find("lastname", "Blind") == []


def test_a_reference_is_set_and_cleared(connector: DynamicsConnector) -> None:
    (account,) = write(connector, create(uuid4(), name="Acme"), mapping=ACCOUNT)
    (contact,) = write(connector, create(uuid4(), lastname="Li", account=account.record_id))
    assert contact.record_id is not None
    read = connector.fetch(CONTACT, [contact.record_id], Lane.NOTICE)
    assert read.values["_parentcustomerid_value"][0] == account.record_id
    clear = {"_parentcustomerid_value": None}
    write(connector, Command(1, Action.UPDATE, uuid4(), contact.record_id, {}, clear, contact.version))
    read = connector.fetch(CONTACT, [contact.record_id], Lane.NOTICE)
    assert read.values["_parentcustomerid_value"][0] is None


def test_a_parent_that_is_a_person_is_no_account(connector: DynamicsConnector, crm: Environment) -> None:
    parent = made(connector, lastname="Parent").record_id
    values = {"lastname": "Child", "parentcustomerid_contact": parent}
    child = crm.control("create", {"object": "contact", "values": values})["id"]
    assert connector.fetch(CONTACT, [child], Lane.NOTICE).values["_parentcustomerid_value"][0] is None


def test_more_than_a_hundred_commands_take_two_calls(connector: DynamicsConnector, ports: Ports) -> None:
    before = len(ports.operations)
    outcomes = write(connector, *(create(uuid4(), number, lastname=f"Bulk {number}") for number in range(101)))
    assert [one.command_id for one in outcomes] == list(range(101))
    assert all(one.status is Status.DELIVERED for one in outcomes)
    assert ports.operations[before:].count("write contacts") == 2


def test_a_key_that_the_customer_added_makes_a_create_fail_for_good(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    made(connector, lastname="First")
    assert ports.stored is not None
    key = {"SchemaName": "new_employeekey", "KeyAttributes": ["employeeid"], "DisplayName": {}}
    answer = requests.post(
        f"{crm.url}/api/data/v9.2/EntityDefinitions(LogicalName='contact')/Keys",
        json=key,
        headers={"Authorization": f"Bearer {ports.stored.access}"},
        verify=crm.variables["CRM_SYNC_CA_BUNDLE"],
        timeout=10,
    )
    assert answer.status_code == 204
    made(connector, employeeid="E1")
    made(connector, employeeid="E2")
    (refused,) = write(connector, create(uuid4(), employeeid="e2"))
    assert (refused.status, refused.error_class) == (Status.REFUSED, ErrorClass.DUPLICATE)


def test_a_create_that_lost_a_race_for_our_own_key_is_to_be_read(
    connector: DynamicsConnector, crm: Environment
) -> None:
    hub_id = uuid4()
    write(connector, create(hub_id, lastname="Winner"))
    error = '{"error":{"code":"0x80060892","message":"Entity Key violated."}}'
    lines = ["--batchresponse_1", "Content-Type: application/http", "", "HTTP/1.1 412 Precondition Failed", "", error]
    body = "\r\n".join([*lines, "--batchresponse_1--", ""])
    headers = {"Content-Type": "multipart/mixed; boundary=batchresponse_1"}
    crm.fault("batch$", "status", status=200, headers=headers, body=body)
    (raced,) = write(connector, create(hub_id, lastname="Loser"))
    assert raced.status is Status.CHANGED
