"""Write to an org through the connector: nothing twice, nothing overwritten, bad rows alone."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

from crm_sync.connectors.salesforce.connector import SalesforceConnector
from crm_sync.errors import ErrorClass
from crm_sync.ports import Lane
from crm_sync.records import Status
from tests.unit.connectors.salesforce.org import CONTACT, LANE, Org, creating, rows, updating


def test_a_create_is_found_by_its_key_and_never_repeats_or_overwrites(org: Org, connector: SalesforceConnector) -> None:
    account = org.create({"Name": "Acme"}, "Account")
    hub_id = uuid4()
    command = creating({"LastName": "Ng", "Birthdate": "1990-02-03", "Email": None}, hub_id=hub_id, account=account)
    (first,) = connector.write(CONTACT, [command], Lane.OUTBOUND)
    assert first.status is Status.DELIVERED
    found = connector.fetch_by_key(CONTACT, [str(hub_id), str(uuid4())], LANE)
    assert (found.record_ids, found.hub_ids) == ([first.record_id], [str(hub_id)])
    assert rows(found)[first.record_id or ""]["AccountId"] == account
    (again,) = connector.write(CONTACT, [replace(command, values={"LastName": "Other"})], Lane.OUTBOUND)
    assert (again.status, again.record_id, again.code) == (Status.CHANGED, first.record_id, "DUPLICATE_VALUE")
    assert rows(connector.fetch(CONTACT, [first.record_id or ""], LANE))[first.record_id or ""]["LastName"] == "Ng"


def test_updates_change_clear_and_keep_their_hands_off_newer_edits(org: Org, connector: SalesforceConnector) -> None:
    account = org.create({"Name": "Acme"}, "Account")
    one = org.create({"LastName": "A", "Email": "a@x.org", "AccountId": account, "HasOptedOutOfEmail": True})
    two = org.create({"LastName": "B"})
    seen = connector.fetch(CONTACT, [one, two], LANE)
    org.state.update("Contact", two, {"LastName": "Newer"}, modified_us=org.state.now_us() + 2 * 10**6)
    cleared = updating(one, {"LastName": "A2", "Email": None, "HasOptedOutOfEmail": None}, seen.stamps[0])
    cleared = replace(cleared, references={"AccountId": None})
    outcomes = connector.write(CONTACT, [updating(two, {"LastName": "C"}, seen.stamps[1], 2), cleared], Lane.OUTBOUND)
    assert [(o.command_id, o.status) for o in outcomes] == [(2, Status.CHANGED), (1, Status.DELIVERED)]
    assert outcomes[0].error_class is ErrorClass.CONFLICT
    now = rows(connector.fetch(CONTACT, [one, two], LANE))
    assert now[one] == {
        "LastName": "A2",
        "Email": None,
        "HasOptedOutOfEmail": False,
        "Birthdate": None,
        "AccountId": None,
    }
    assert now[two]["LastName"] == "Newer"


def test_an_update_of_a_deleted_record_is_a_change_not_seen_yet(org: Org, connector: SalesforceConnector) -> None:
    gone = org.create({"LastName": "Gone"})
    org.ask("POST", "delete", {"object": "Contact", "id": gone})
    (outcome,) = connector.write(CONTACT, [updating(gone, {"LastName": "X"})], Lane.OUTBOUND)
    assert (outcome.status, outcome.error_class) == (Status.CHANGED, ErrorClass.NOT_FOUND)


def test_bad_rows_fail_alone_and_their_reasons_name_no_values(org: Org, connector: SalesforceConnector) -> None:
    outcomes = connector.write(
        CONTACT,
        [
            creating({"LastName": "Good"}, 1),
            creating({"LastName": "x" * 81}, 2),
            creating({"LastName": "Bad", "Email": "secret at home"}, 3),
            creating({}, 4),
            creating({"LastName": "Orphan"}, 5, account="001Hs0000099999IAA"),
        ],
        Lane.OUTBOUND,
    )
    assert [(o.status.value, o.error_class, o.message) for o in outcomes] == [
        ("delivered", None, ""),
        ("refused", ErrorClass.VALIDATION, "STRING_TOO_LONG on LastName"),
        ("refused", ErrorClass.VALIDATION, "INVALID_EMAIL_ADDRESS on Email"),
        ("refused", ErrorClass.VALIDATION, "REQUIRED_FIELD_MISSING on LastName"),
        ("refused", ErrorClass.REFERENCE, "INVALID_CROSS_REFERENCE_KEY"),
    ]
    assert org.calls() == {"POST /services/data/vNN.N/composite/sobjects": 1}


def test_a_row_that_spoils_the_whole_call_is_found_and_its_neighbours_written(
    org: Org, connector: SalesforceConnector
) -> None:
    good = [creating({"LastName": f"N{n}"}, n) for n in range(10)]
    unknown = creating({"LastName": "U", "Nickname__c": "x"}, 10)
    wrong = creating({"LastName": "W", "Birthdate": "1990-13-01"}, 11)
    outcomes = connector.write(CONTACT, [*good, unknown, wrong], Lane.OUTBOUND)
    assert [o.status for o in outcomes[:10]] == [Status.DELIVERED] * 10
    assert outcomes[10].message == "INVALID_FIELD: Contact does not let us write Nickname__c"
    assert (outcomes[11].status, outcomes[11].error_class) == (Status.REFUSED, ErrorClass.VALIDATION)
    assert org.state.count("Contact") == 10


def test_many_writes_take_few_calls(org: Org, connector: SalesforceConnector) -> None:
    made = connector.write(CONTACT, [creating({"LastName": f"N{n}"}, n) for n in range(250)], Lane.OUTBOUND)
    connector.write(CONTACT, [updating(o.record_id or "", {"LastName": "X"}, number=o.command_id) for o in made[:60]],
                    Lane.OUTBOUND)  # fmt: skip
    assert org.calls() == {"POST /services/data/vNN.N/composite/sobjects": 2, "POST /services/data/vNN.N/composite": 3}


def test_a_dropped_answer_leaves_the_outcome_unknown_and_makes_no_duplicate(
    org: Org, connector: SalesforceConnector
) -> None:
    command = creating({"LastName": "Once"})
    org.fault(method="POST", path="composite/sobjects", action="drop_after")
    (outcome,) = connector.write(CONTACT, [command], Lane.OUTBOUND)
    assert outcome.status is Status.UNKNOWN
    assert len(connector.fetch_by_key(CONTACT, [str(command.hub_id)], LANE)) == 1
    assert connector.write(CONTACT, [command], Lane.OUTBOUND)[0].status is Status.CHANGED
    assert org.state.count("Contact") == 1
