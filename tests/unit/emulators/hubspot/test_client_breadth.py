"""HubSpot's own Python client understands every kind of answer: it gives None for a status that it does not know."""

from __future__ import annotations

from typing import Any

from hubspot.communication_preferences import PublicUpdateSubscriptionStatusRequest
from hubspot.crm.associations import BatchInputPublicObjectId
from hubspot.crm.associations.v4 import BatchInputPublicFetchAssociationsBatchRequest
from hubspot.crm.associations.v4.schema import PublicAssociationDefinitionCreateRequest
from hubspot.crm.contacts import PublicGdprDeleteInput, PublicMergeInput, SimplePublicObjectInputForCreate
from hubspot.crm.pipelines import PipelineInput, PipelineStageInput
from hubspot.crm.properties import PropertyGroupCreate
from hubspot.crm.schemas import (
    ObjectSchemaEgg,
    ObjectTypeDefinitionLabels,
    ObjectTypeDefinitionPatch,
    ObjectTypePropertyCreate,
)
from hubspot.webhooks import SettingsChangeRequest, SubscriptionCreateRequest, ThrottlingSettings

from tests.unit.emulators.hubspot_portal import Portal


def given(types: list[int] | None = None, to: str = "", **properties: str) -> SimplePublicObjectInputForCreate:
    kinds = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": one} for one in types or []]
    links = [{"to": {"id": to}, "types": kinds}] if kinds else []
    return SimplePublicObjectInputForCreate(properties=properties, associations=links)


def test_records_of_all_kinds(client: Any) -> None:
    crm = client.crm
    contact = crm.contacts.basic_api.create(given(email="a@x.test"))
    deal = crm.deals.basic_api.create(given([3], contact.id, dealname="D", dealstage="closedwon", pipeline="default"))
    assert deal.properties["dealname"] == "D"
    assert crm.tickets.basic_api.create(given(subject="T", hs_pipeline_stage="1")).id
    assert crm.objects.basic_api.create("products", given(name="P")).id
    for kind, type_id in (("notes", 202), ("calls", 194), ("meetings", 200), ("tasks", 204)):
        api = getattr(crm.objects, kind).basic_api
        made = api.create(given([type_id], contact.id, hs_timestamp="2026-03-01T12:00:00Z"))
        shown = api.get_by_id(made.id, associations=["contacts"])
        assert [one.id for one in shown.associations["contacts"].results] == [contact.id]
    assert crm.objects.notes.basic_api.get_page().results[0].properties["hs_createdate"]
    page = crm.contacts.basic_api.get_page(limit=50, properties_with_history=["email"])
    assert page.results[0].properties_with_history["email"][0].value == "a@x.test"


def test_merge_and_gdpr_delete(client: Any) -> None:
    api = client.crm.contacts.basic_api
    first, second = (api.create(given(email=f"{one}@x.test")).id for one in "ab")
    merged = api.merge(PublicMergeInput(primary_object_id=first, object_id_to_merge=second))
    assert merged.id not in (first, second)
    api.purge(PublicGdprDeleteInput(object_id="b@x.test", id_property="email"))
    assert client.crm.contacts.get_all() == []


def test_definitions(client: Any) -> None:
    crm = client.crm
    assert crm.owners.owners_api.get_page(limit=2).paging.next.after == "2"
    assert crm.owners.owners_api.get_by_id(62510001).type == "PERSON"
    assert crm.properties.core_api.get_all("deals").results
    group = PropertyGroupCreate(name="ours", label="Ours", display_order=1)
    assert crm.properties.groups_api.create("contacts", group).name == "ours"
    stages = [PipelineStageInput(label="New", display_order=0, metadata={"probability": "0.5"})]
    made = crm.pipelines.pipelines_api.create("deals", PipelineInput(label="P", display_order=1, stages=stages))
    assert crm.pipelines.pipeline_stages_api.get_all("deals", made.id).results[0].label == "New"
    plate = ObjectTypePropertyCreate(name="plate", label="Plate", type="string", field_type="text")
    egg = ObjectSchemaEgg(
        name="car", labels=ObjectTypeDefinitionLabels(singular="Car", plural="Cars"), primary_display_property="plate",
        required_properties=["plate"], properties=[plate], associated_objects=["CONTACT"],
    )  # fmt: skip
    schema = crm.schemas.core_api.create(egg)
    assert crm.schemas.core_api.get_all().results[0].object_type_id == schema.object_type_id
    assert crm.schemas.core_api.update("car", ObjectTypeDefinitionPatch(description="x")).description == "x"
    assert crm.objects.basic_api.create("p_car", given(plate="U-1")).properties["plate"] == "U-1"


def test_associations(client: Any) -> None:
    crm, v4 = client.crm, client.crm.associations.v4
    contact = crm.contacts.basic_api.create(given(email="a@x.test")).id
    alone = crm.contacts.basic_api.create(given(email="b@x.test")).id
    company = crm.companies.basic_api.create(given(name="A")).id
    assert v4.basic_api.create_default("contacts", contact, "companies", company).status == "COMPLETE"
    inputs = BatchInputPublicFetchAssociationsBatchRequest(inputs=[{"id": contact}, {"id": alone}])
    read = v4.batch_api.get_page("contacts", "companies", inputs)
    assert read.errors[0].sub_category == "crm.associations.NO_ASSOCIATIONS_FOUND"
    assert str(read.results[0].to[0].to_object_id) == company
    old = crm.associations.batch_api.read("contacts", "companies", BatchInputPublicObjectId(inputs=[{"id": contact}]))
    assert old.results[0].to[0].type == "contact_to_company_unlabeled"
    label = PublicAssociationDefinitionCreateRequest(label="Adviser", name="adviser", inverse_label="Advised")
    assert len(v4.schema.definitions_api.create("contacts", "companies", label).results) == 2
    assert len(v4.schema.definitions_api.get_all("contacts", "companies").results) == 3


def test_consent_tokens_and_webhooks(client: Any, portal: Portal) -> None:
    preferences = client.communication_preferences
    assert len(preferences.definition_api.get_page().subscription_definitions) == 3
    wish = PublicUpdateSubscriptionStatusRequest(
        email_address="a@x.test", subscription_id="7001", legal_basis="PROCESS_AND_STORE", legal_basis_explanation="x"
    )
    assert preferences.status_api.subscribe(wish).status == "SUBSCRIBED"
    assert preferences.status_api.get_email_status("a@x.test").recipient == "a@x.test"
    settings = portal.settings
    got = client.oauth.tokens_api.create(
        grant_type="refresh_token", client_id=settings.client_id, client_secret=settings.client_secret,
        refresh_token=settings.refresh_token,
    )  # fmt: skip
    assert client.oauth.access_tokens_api.get(got.access_token).token_type == "access"
    assert client.oauth.refresh_tokens_api.get(settings.refresh_token).client_id == settings.client_id
    target = SettingsChangeRequest(
        target_url="https://receiver.example", throttling=ThrottlingSettings(max_concurrent_requests=10)
    )
    assert client.webhooks.settings_api.configure(7, target).target_url == "https://receiver.example"
    subscription = SubscriptionCreateRequest(event_type="contact.creation", active=True)
    assert client.webhooks.subscriptions_api.create(7, subscription).active is True
    assert len(client.webhooks.subscriptions_api.get_all(7).results) == 1
