"""The date-versioned paths that replace v3 and v4 answer as these do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.emulators.hubspot.inside import OBJECTS, Inside, to

PAIRS = [
    ("/crm/v3/objects/contacts?associations=companies", "/crm/objects/{}/contacts?associations=companies"),
    ("/crm/v3/objects/0-1/{id}", "/crm/objects/{}/0-1/{id}"),
    ("/crm/v4/objects/contacts/{id}/associations/companies", "/crm/objects/{}/contacts/{id}/associations/companies"),
    ("/crm/v4/associations/contacts/companies/labels", "/crm/associations/{}/contacts/companies/labels"),
    ("/crm/v3/properties/contacts/email", "/crm/properties/{}/contacts/email"),
    ("/crm/v3/properties/contacts/groups", "/crm/properties/{}/contacts/groups"),
    ("/crm/v3/pipelines/deals", "/crm/pipelines/{}/deals"),
    ("/crm/v3/owners/", "/crm/owners/{}/"),
    ("/crm-object-schemas/v3/schemas/contacts", "/crm-object-schemas/{}/schemas/contacts"),
    ("/account-info/v3/details", "/account-info/{}/details"),
    ("/settings/v3/users", "/settings/users/{}"),
    ("/communication-preferences/v4/definitions", "/communication-preferences/{}/definitions"),
]


@pytest.mark.fact("hubspot:dated_paths")
@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_reads_answer_alike(inside: Inside, old: str, new: str) -> None:
    company = inside.create("companies", name="A")
    id = inside.create(email="a@x.test", associations=[to(company, 1)])
    expected = inside.get(old.replace("{id}", id))
    for version in ("2026-03", "2026-09"):
        found: Any = inside.get(new.replace("{}", version).replace("{id}", id))
        assert found == expected


def test_writes_answer_alike(inside: Inside) -> None:
    body = {"inputs": [{"properties": {"email": "a@x.test"}}]}
    made = inside.send("POST", "/crm/objects/2026-03/contacts/batch/create", body)
    id, company = made.body["results"][0]["id"], inside.create("companies", name="A")
    assert made.status == 201 and inside.send("POST", "/crm/objects/2026-09/contacts/search", {}).body["total"] == 1
    put = inside.send("PUT", f"/crm/objects/2026-03/contacts/{id}/associations/default/companies/{company}")
    assert put.status == 200
    read = {"inputs": [{"id": id}]}
    assert inside.send("POST", "/crm/associations/2026-03/contacts/companies/batch/read", read).status == 200
    assert inside.send("DELETE", f"/crm/objects/2026-09/contacts/{id}").status == 204
    assert inside.get(f"{OBJECTS}/contacts")["results"] == []


@pytest.mark.fact("hubspot:dated_webhook_paths")
def test_webhook_settings_have_a_path_of_their_own_in_each_version(inside: Inside) -> None:
    target = {"targetUrl": "https://receiver.example/hook", "throttling": {"maxConcurrentRequests": 10}}
    assert inside.send("PUT", "/webhooks/2026-03/7/settings", target).status == 200
    for path in ("/webhooks/v3", "/webhooks/2026-03", "/app-webhooks/2026-09"):
        assert inside.get(f"{path}/7/settings")["targetUrl"] == target["targetUrl"]


def test_v4_lists_as_v3_does(inside: Inside) -> None:
    id = inside.create(email="a@x.test")
    assert inside.get("/crm/v4/objects/contacts") == inside.get(f"{OBJECTS}/contacts")
    assert inside.get("/crm/v4/objects/contacts")["results"][0]["id"] == id


def test_links_stay_in_the_version_that_was_asked(inside: Inside) -> None:
    for at in range(2):
        inside.create(firstname=f"n{at}")
    link = inside.get("/crm/objects/2026-09/contacts?limit=1")["paging"]["next"]["link"]
    assert "/crm/objects/2026-09/contacts?" in link
