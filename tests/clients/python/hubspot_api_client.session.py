"""What a sync tool does with hubspot-api-client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hubspot import HubSpot
from hubspot.crm.associations.v4 import BatchInputPublicFetchAssociationsBatchRequest
from hubspot.crm.contacts import (
    ApiException,
    BatchInputSimplePublicObjectBatchInput,
    BatchInputSimplePublicObjectBatchInputForCreate,
    BatchInputSimplePublicObjectBatchInputUpsert,
    BatchReadInputSimplePublicObjectId,
    PublicObjectSearchRequest,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.crm.properties import PropertyCreate
from telling import email, given, key, run

PLACE = {"host": given("HUBSPOT_URL"), "ssl_ca_cert": given("CRM_SYNC_CA_BUNDLE")}
KEY = key()
hubspot = HubSpot(access_token=given("HUBSPOT_TOKEN"), **PLACE)
ids: dict[str, str] = {}
since = ""


def contact(properties: dict[str, Any], associations: Sequence[Any] = ()) -> SimplePublicObjectInputForCreate:
    return SimplePublicObjectInputForCreate(properties=properties, associations=list(associations))


def connect() -> None:
    tokens = HubSpot(**PLACE).oauth.tokens_api.create(
        grant_type="refresh_token", client_id=given("HUBSPOT_CLIENT_ID"),
        client_secret=given("HUBSPOT_CLIENT_SECRET"), refresh_token=given("HUBSPOT_REFRESH_TOKEN"),
    )
    assert tokens.token_type == "bearer" and tokens.expires_in > 0 and tokens.refresh_token
    told = HubSpot(**PLACE).oauth.access_tokens_api.get(tokens.access_token)
    assert told.hub_id and "crm.objects.contacts.read" in told.scopes
    by_oauth = HubSpot(access_token=tokens.access_token, **PLACE)
    assert len(by_oauth.crm.contacts.basic_api.get_page(limit=1).results) == 1


def describe() -> None:
    hubspot.crm.properties.core_api.create("contacts", PropertyCreate(
        name=KEY, label="The client's key", type="string", field_type="text", group_name="contactinformation",
        has_unique_value=True,
    ))
    shown = {one.name: one for one in hubspot.crm.properties.core_api.get_all("contacts").results}
    assert shown[KEY].has_unique_value and not shown[KEY].hubspot_defined
    assert shown["lastmodifieddate"].type == "datetime"
    assert shown["lastmodifieddate"].modification_metadata.read_only_value
    assert "customer" in {option.value for option in shown["lifecyclestage"].options}
    assert hubspot.crm.owners.owners_api.get_page().results[0].email


def create() -> None:
    company = hubspot.crm.companies.basic_api.create(contact({"name": "Python Works", "domain": "python.example.com"}))
    made = hubspot.crm.contacts.basic_api.create(contact(
        {"firstname": "Ann", "lastname": "Python", "email": email("ann")},
        associations=[{"to": {"id": company.id},
                       "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 279}]}],
    ))
    ids["ann"], ids["company"] = made.id, company.id
    ids["bob"] = hubspot.crm.contacts.basic_api.create(contact({"lastname": "Bob", "email": email("bob")})).id
    shown = hubspot.crm.contacts.basic_api.get_by_id(
        made.id, properties=["email", "phone"], associations=["companies"], archived=False
    )
    assert shown.properties["email"] == email("ann") and shown.properties["phone"] is None
    assert shown.associations["companies"].results[0].id == company.id
    by_email = hubspot.crm.contacts.basic_api.get_by_id(email("ann"), id_property="email")
    assert by_email.id == made.id
    pairs = hubspot.crm.associations.v4.batch_api.get_page(
        "contacts", "companies", BatchInputPublicFetchAssociationsBatchRequest(inputs=[{"id": made.id}])
    )
    assert [str(one.to_object_id) for one in pairs.results[0].to] == [company.id]
    try:
        hubspot.crm.contacts.basic_api.create(contact({"email": email("ann")}))
    except ApiException as error:
        assert error.status == 409 and made.id in error.body
    else:
        raise AssertionError("a second contact with the same address was accepted")


def upsert() -> None:
    def once(**more: str) -> Any:
        properties = {KEY: "cy-1", "email": email("cy"), "lastname": "Cy", **more}
        return hubspot.crm.contacts.batch_api.upsert(BatchInputSimplePublicObjectBatchInputUpsert(
            inputs=[{"id": "cy-1", "idProperty": KEY, "properties": properties}]
        ))

    [first], [again] = once().results, once(jobtitle="twice").results
    assert first.new is True and again.new is False and first.id == again.id
    shown = hubspot.crm.contacts.basic_api.get_by_id("cy-1", id_property=KEY, properties=["jobtitle"])
    assert (shown.id, shown.properties["jobtitle"]) == (first.id, "twice")
    ids["cy"] = first.id


def read_since() -> None:
    global since
    since = hubspot.crm.contacts.basic_api.get_by_id(ids["ann"]).properties["lastmodifieddate"]
    found: list[Any] = []
    after: str | None = None
    while True:
        page = hubspot.crm.contacts.search_api.do_search(PublicObjectSearchRequest(
            filter_groups=[{"filters": [{"propertyName": "lastmodifieddate", "operator": "GTE", "value": since}]}],
            sorts=[{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
            properties=["email", "lastmodifieddate"], limit=2, after=after,
        ))
        found += page.results
        if page.paging is None:
            break
        after = page.paging.next.after
    assert page.total == len(found)
    assert {ids["ann"], ids["bob"], ids["cy"]} <= {one.id for one in found}
    assert all(one.properties["lastmodifieddate"] >= since for one in found)


def pages() -> None:
    everyone = hubspot.crm.contacts.get_all(properties=["email"], archived=False)
    assert len(everyone) > 300 and len({one.id for one in everyone}) == len(everyone)
    with_history = hubspot.crm.contacts.basic_api.get_page(limit=50, properties_with_history=["email"])
    assert len(with_history.results) == 50 and with_history.paging.next.after
    assert any(one.properties_with_history["email"][0].source_type for one in with_history.results)


def update() -> None:
    hubspot.crm.contacts.basic_api.update(ids["ann"], SimplePublicObjectInput({"phone": "+49 30 1234567"}))
    read = BatchReadInputSimplePublicObjectId(
        inputs=[{"id": ids["ann"]}], properties=["phone", "firstname"], properties_with_history=[]
    )
    [shown] = hubspot.crm.contacts.batch_api.read(read, archived=False).results
    assert (shown.properties["phone"], shown.properties["firstname"]) == ("+49 30 1234567", "Ann")
    try:
        hubspot.crm.contacts.basic_api.update(ids["ann"], SimplePublicObjectInput({"no_such_property": "x"}))
    except ApiException as error:
        assert error.status == 400 and "PROPERTY_DOESNT_EXIST" in error.body
    else:
        raise AssertionError("an unknown property was accepted")


def delete() -> None:
    hubspot.crm.contacts.basic_api.archive(ids["bob"])
    try:
        hubspot.crm.contacts.basic_api.get_by_id(ids["bob"])
    except ApiException as error:
        assert error.status == 404
    else:
        raise AssertionError("the archived contact is still there")


def read_deleted() -> None:
    gone = hubspot.crm.contacts.get_all(archived=True)
    [bob] = [one for one in gone if one.id == ids["bob"]]
    assert bob.archived and bob.archived_at is not None
    assert ids["ann"] not in {one.id for one in gone}


def batch() -> None:
    people = {"dee": email("dee"), "bad": "no address", "eve": email("eve")}

    def inputs(*, traced: bool) -> list[dict[str, Any]]:
        return [{"properties": {"lastname": who, "email": address}, "associations": [],
                 **({"objectWriteTraceId": who} if traced else {})} for who, address in people.items()]

    create = hubspot.crm.contacts.batch_api.create
    try:
        create(BatchInputSimplePublicObjectBatchInputForCreate(inputs=inputs(traced=False)))
    except ApiException as error:
        assert error.status == 400 and "INVALID_EMAIL" in error.body
    else:
        raise AssertionError("a batch without trace ids is all or nothing, and one of its rows is bad")
    partly = create(BatchInputSimplePublicObjectBatchInputForCreate(inputs=inputs(traced=True)))
    assert {one.properties["email"] for one in partly.results} == {email("dee"), email("eve")}
    assert partly.num_errors == 1 and partly.errors[0].context["objectWriteTraceId"] == ["bad"]
    missing = hubspot.crm.contacts.batch_api.update(BatchInputSimplePublicObjectBatchInput(inputs=[
        {"id": ids["cy"], "properties": {"city": "Berlin"}, "objectWriteTraceId": "1"},
        {"id": "999999999999", "properties": {"city": "Berlin"}, "objectWriteTraceId": "2"},
    ]))
    assert [one.id for one in missing.results] == [ids["cy"]] and missing.num_errors == 1


def other_objects() -> None:
    crm = hubspot.crm
    ticket = crm.tickets.basic_api.create(contact(
        {"subject": "It does not start", "hs_pipeline": "0", "hs_pipeline_stage": "1"},
        associations=[{"to": {"id": ids["ann"]},
                       "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 16}]}],
    ))
    assert ticket.properties["hs_pipeline_stage"] == "1"
    note = crm.objects.notes.basic_api.create(contact(
        {"hs_timestamp": "2026-01-02T03:04:05Z", "hs_note_body": "She called."},
        associations=[{"to": {"id": ids["ann"]},
                       "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}]}],
    ))
    shown = crm.objects.basic_api.get_by_id("notes", note.id, associations=["contacts"])
    assert shown.associations["contacts"].results[0].id == ids["ann"]
    deal = crm.deals.basic_api.create(contact({"dealname": "One", "dealstage": "appointmentscheduled"}))
    assert crm.deals.basic_api.get_by_id(deal.id).properties["pipeline"] == "default"
    stages = {one.id: one for one in crm.pipelines.pipelines_api.get_all("tickets").results[0].stages}
    assert stages["4"].metadata["ticketState"] == "CLOSED"
    assert isinstance(crm.schemas.core_api.get_all().results, list)


def merge() -> None:
    twin = hubspot.crm.contacts.basic_api.create(contact({"lastname": "Cy", "email": email("cy.twin")}))
    answer = hubspot.crm.contacts.basic_api.merge({"primaryObjectId": ids["cy"], "objectIdToMerge": twin.id})
    old = hubspot.crm.contacts.basic_api.get_by_id(twin.id, properties=["hs_merged_object_ids", "email"])
    assert old.id == answer.id
    assert set(old.properties["hs_merged_object_ids"].split(";")) >= {twin.id}


if __name__ == "__main__":
    run(connect, describe, create, upsert, read_since, pages, update, delete, read_deleted, batch, other_objects, merge)
