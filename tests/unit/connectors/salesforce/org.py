"""The emulated org as a person and a network operator see it, and what the tests sync with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import requests

from crm_sync.emulators.state import State
from crm_sync.ports import Lane
from crm_sync.records import Action, Command, Page, SourceBatch
from crm_sync.specs.model import ConnectionSpec, FieldMapping, MappingSpec

SPEC = ConnectionSpec(
    name="salesforce",
    crm="salesforce",
    auth="client_credentials",
    address_env="SALESFORCE_URL",
    secrets_env={"client_id": "SALESFORCE_CLIENT_ID", "client_secret": "SALESFORCE_CLIENT_SECRET"},
    mappings="salesforce",
    entities=("account", "contact"),
)
CONTACT = MappingSpec(
    crm="salesforce",
    entity="contact",
    object="Contact",
    singular="Contact",
    version=1,
    id_field="Id",
    stamp_field="SystemModstamp",
    external_key="Crm_Sync_Id__c",
    fields=(
        FieldMapping("last_name", "LastName", "text"),
        FieldMapping("email", "Email", "email"),
        FieldMapping("email_opt_out", "HasOptedOutOfEmail", "boolean"),
        FieldMapping("birth_date", "Birthdate", "date"),
        FieldMapping("account", "AccountId", "reference", target_object="Account"),
    ),
)
ACCOUNT = replace(
    CONTACT, entity="account", object="Account", singular="Account", fields=(FieldMapping("name", "Name", "text"),)
)
LANE = Lane.INCREMENTAL


class Org:
    """The emulated org as a person and a network operator see it."""

    def __init__(self, url: str, bundle: str, state: State) -> None:
        self.url, self.state = url, state
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = bundle

    def ask(self, method: str, what: str, body: Any = None) -> Any:
        """Use the control API."""
        answer = self.session.request(method, f"{self.url}/__emulator__/{what}", json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def create(self, values: Mapping[str, Any], sobject: str = "Contact") -> str:
        found: str = self.ask("POST", "create", {"object": sobject, "values": values})["id"]
        return found

    def edit(self, record_id: str, values: Mapping[str, Any]) -> None:
        self.ask("POST", "edit", {"object": "Contact", "id": record_id, "values": values})

    def fault(self, **fault: Any) -> None:
        self.ask("POST", "faults", [fault])

    def calls(self) -> dict[str, int]:
        """Return the calls since the last look."""
        by: dict[str, int] = self.ask("GET", "calls")["by"]
        self.ask("POST", "calls/reset")
        return by


def rows(batch: SourceBatch) -> dict[str, dict[str, Any]]:
    return {r: {n: v[at] for n, v in batch.values.items()} for at, r in enumerate(batch.record_ids)}


def merged(pages: list[Page]) -> list[str]:
    return [record_id for page in pages for record_id in page.batch.record_ids]


def creating(
    values: Mapping[str, Any], number: int = 1, hub_id: UUID | None = None, account: str | None = None
) -> Command:
    references = {"AccountId": account} if account else {}
    return Command(number, Action.CREATE, hub_id or uuid4(), None, values, references)


def updating(record_id: str, values: Mapping[str, Any], stamp: Any = None, number: int = 1) -> Command:
    moment = stamp.astype("datetime64[us]").astype(datetime).replace(tzinfo=UTC) if stamp is not None else None
    return Command(number, Action.UPDATE, uuid4(), record_id, values, {}, stamp=moment)
