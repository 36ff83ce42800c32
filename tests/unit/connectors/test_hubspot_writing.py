"""The HubSpot connector writes to a pretend portal: what only HubSpot does (the contract suite tells the rest)."""

# ruff: noqa: F811 - fixtures are imported by name

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from crm_sync.connectors.base import Connector
from crm_sync.errors import ErrorClass
from crm_sync.ports import Lane
from crm_sync.records import Status
from crm_sync.specs.model import MappingSpec
from tests.unit.connectors.hubspot_world import (  # noqa: F401
    Ports,
    change,
    companies,
    company_of,
    contacts,
    creation,
    hubspot,
    made,
    portal,
    ports,
    specs,
    written,
)
from tests.unit.emulators.hubspot_portal import Portal


def test_a_create_that_meets_its_own_key_is_changed_and_overwrites_nothing(
    hubspot: Connector, portal: Portal, contacts: MappingSpec
) -> None:
    key = uuid4()
    (id,) = made(hubspot, contacts, creation(1, key, firstname="Ann"))
    twin, good = written(hubspot, contacts, creation(2, key, firstname="Bo"), creation(3, firstname="Cy"))
    assert (twin.status, twin.record_id, twin.error_class) == (Status.CHANGED, id, ErrorClass.DUPLICATE)
    assert good.status is Status.DELIVERED
    stored = portal.state.get("contacts", id)
    assert stored is not None and stored.values["firstname"] == "Ann" and portal.state.count("contacts") == 2
    assert twin.stamp is not None and int(twin.stamp.timestamp() * 1e6) == pytest.approx(stored.modified_us, abs=999)


def test_a_create_that_meets_another_contacts_address_is_refused_and_names_that_record(
    hubspot: Connector, portal: Portal, contacts: MappingSpec
) -> None:
    other = portal.control("create", {"object": "contacts", "values": {"email": "ann@x.test"}})["id"]
    taken, good = written(
        hubspot, contacts, creation(1, firstname="Ann", email="ANN@x.test"), creation(2, firstname="Bo")
    )
    assert (taken.status, taken.error_class, taken.holder) == (Status.REFUSED, ErrorClass.DUPLICATE, other)
    assert "x.test" not in f"{taken.code} {taken.message}"
    assert good.status is Status.DELIVERED


def test_one_bad_value_refuses_its_own_record_with_the_name_of_the_property(
    hubspot: Connector, ports: Ports, contacts: MappingSpec
) -> None:
    bad, good = written(
        hubspot, contacts, creation(1, firstname="Ann", email="no address"), creation(2, firstname="Bo")
    )
    assert (bad.status, bad.code, bad.message) == (Status.REFUSED, "INVALID_EMAIL", "properties email")
    assert bad.error_class is ErrorClass.VALIDATION and good.status is Status.DELIVERED
    assert not any("no address" in text for text in ports.audited)


def test_a_create_with_a_company_that_is_gone_is_refused_alone(
    hubspot: Connector, portal: Portal, contacts: MappingSpec
) -> None:
    bad, good = written(hubspot, contacts, creation(1, firstname="Ann", company="404404"), creation(2, firstname="Bo"))
    assert (bad.status, good.status) == (Status.REFUSED, Status.DELIVERED)
    assert bad.error_class is ErrorClass.REFERENCE
    assert portal.state.count("contacts") == 1


@pytest.mark.parametrize(("action", "status"), [("drop_after", Status.UNKNOWN), ("drop_before", Status.UNKNOWN)])
def test_an_unanswered_create_is_unknown_is_sent_once_and_can_be_read_back(
    hubspot: Connector, portal: Portal, contacts: MappingSpec, action: str, status: Status
) -> None:
    key = uuid4()
    portal.control("faults", {"action": action, "path": "batch/create"})
    (outcome,) = written(hubspot, contacts, creation(1, key, firstname="Ann"))
    assert outcome.status is status
    assert portal.calls()["POST /crm/v3/objects/contacts/batch/create"] == 1
    found = hubspot.fetch_by_key(contacts, [str(key)], Lane.OUTBOUND)
    assert len(found) == (1 if action == "drop_after" else 0)


def test_a_batch_refused_as_a_whole_is_halved_until_the_culprit_stands_alone(
    hubspot: Connector, portal: Portal, contacts: MappingSpec
) -> None:
    body = {"status": "error", "category": "VALIDATION_ERROR", "message": "one input is broken"}
    portal.control("faults", {"action": "status", "status": 400, "path": "batch/create", "times": 2, "body": body})
    outcomes = written(hubspot, contacts, *(creation(number, firstname=f"n{number}") for number in range(4)))
    assert [one.status for one in outcomes] == [Status.DELIVERED] * 4
    assert portal.calls()["POST /crm/v3/objects/contacts/batch/create"] == 5


def test_a_missing_scope_refuses_all_at_once(hubspot: Connector, portal: Portal, contacts: MappingSpec) -> None:
    body = {"status": "error", "category": "MISSING_SCOPES", "message": "This app hasn't been granted all scopes"}
    portal.control("faults", {"action": "status", "status": 403, "path": "batch/create", "body": body})
    outcomes = written(hubspot, contacts, *(creation(number, firstname=f"n{number}") for number in range(4)))
    assert {(one.status, one.error_class) for one in outcomes} == {(Status.REFUSED, ErrorClass.PERMISSION)}
    assert portal.calls() == {"POST /crm/v3/objects/contacts/batch/create": 1}


def test_an_update_clears_with_null_and_gives_the_new_version(
    hubspot: Connector, portal: Portal, contacts: MappingSpec
) -> None:
    (id,) = made(hubspot, contacts, creation(1, firstname="Ann", city="Ulm", crm_sync_email_opt_out=True))
    (outcome,) = written(hubspot, contacts, change(2, id, city=None, jobtitle="Clerk"))
    batch = hubspot.fetch(contacts, [id], Lane.NOTICE)
    assert (outcome.status, outcome.version) == (Status.DELIVERED, batch.versions[0])
    values = {name: batch.values[name][0] for name in ("city", "jobtitle", "crm_sync_email_opt_out")}
    assert values == {"city": None, "jobtitle": "Clerk", "crm_sync_email_opt_out": "true"}


def test_two_updates_of_one_record_are_both_written_in_order(hubspot: Connector, contacts: MappingSpec) -> None:
    (id,) = made(hubspot, contacts, creation(1, firstname="Ann"))
    outcomes = written(hubspot, contacts, change(2, id, city="Ulm"), change(3, id, city="Bonn"))
    assert [one.status for one in outcomes] == [Status.DELIVERED] * 2
    assert hubspot.fetch(contacts, [id], Lane.NOTICE).values["city"][0] == "Bonn"


def test_an_update_of_a_record_that_is_gone_is_to_be_read_beside_good_neighbours(
    hubspot: Connector, contacts: MappingSpec
) -> None:
    (id,) = made(hubspot, contacts, creation(1, firstname="Ann"))
    gone, good = written(hubspot, contacts, change(2, "404404", city="Ulm"), change(3, id, city="Ulm"))
    assert (gone.status, gone.error_class) == (Status.CHANGED, ErrorClass.NOT_FOUND)
    assert good.status is Status.DELIVERED


def test_another_company_takes_the_place_of_the_former_and_leaves_further_ones(
    hubspot: Connector, portal: Portal, contacts: MappingSpec, companies: MappingSpec
) -> None:
    first, second, further = made(hubspot, companies, *(creation(n, name=f"c{n}") for n in range(3)))
    (id,) = made(hubspot, contacts, creation(1, firstname="Ann", company=first))
    assert company_of(hubspot, contacts, id) == first
    portal.send("PUT", f"/crm/v4/objects/contacts/{id}/associations/default/companies/{further}")
    (outcome,) = written(hubspot, contacts, change(2, id, company=second))
    assert (outcome.status, outcome.version) == (Status.DELIVERED, "seen before")
    linked = portal.state.associations("contacts", [id], "companies")[id]
    assert sorted(linked) == sorted([(second, 1), (second, 279), (further, 279)])
    portal.calls()
    written(hubspot, contacts, change(3, id, company=second))
    assert sum(portal.calls().values()) == 1, "what is so already is only read"
    written(hubspot, contacts, change(4, id, company=None))
    assert company_of(hubspot, contacts, id) is None


def test_a_company_that_is_gone_refuses_the_reference_and_says_so(
    hubspot: Connector, contacts: MappingSpec, companies: MappingSpec
) -> None:
    (company,) = made(hubspot, companies, creation(1, name="Acme"))
    one, two = made(hubspot, contacts, creation(1, firstname="Ann"), creation(2, firstname="Bo"))
    bad, good = written(
        hubspot, contacts, change(3, one, city="Ulm", company="404404"), change(4, two, company=company)
    )
    assert (bad.status, bad.error_class) == (Status.REFUSED, ErrorClass.REFERENCE)
    assert good.status is Status.DELIVERED and company_of(hubspot, contacts, two) == company


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"action": "status", "status": 429, "body": {"policyName": "DAILY"}}, Status.RETRY),
        ({"action": "drop_after", "times": 9}, Status.UNKNOWN),
    ],
)
def test_a_reference_that_did_not_get_through_leaves_the_command_open(
    hubspot: Connector,
    portal: Portal,
    contacts: MappingSpec,
    companies: MappingSpec,
    fault: dict[str, Any],
    status: Status,
) -> None:
    (company,) = made(hubspot, companies, creation(1, name="Acme"))
    (id,) = made(hubspot, contacts, creation(1, firstname="Ann"))
    portal.control("faults", {"path": "associations/contacts/companies/batch/create", **fault})
    (outcome,) = written(hubspot, contacts, change(2, id, city="Ulm", company=company))
    assert outcome.status is status
