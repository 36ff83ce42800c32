"""Communication preferences: what an address is subscribed to, by v3 and v4 of the API.

Opting out of everything also sets the contact's hs_email_optout, which the CRM API only reads. Source: subscriptions
preferences guide and API references (v3, v4).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.hubspot.catalog import BORN
from crm_sync.emulators.hubspot.properties import EMAIL, instant
from crm_sync.emulators.hubspot.refusals import PORTAL_ID, invalid
from crm_sync.emulators.hubspot.sources import API
from crm_sync.emulators.hubspot.writing import Writer
from crm_sync.emulators.state import State

TABLE = """CREATE TABLE IF NOT EXISTS hubspot_consent (
    email TEXT NOT NULL, subscription INTEGER NOT NULL, status TEXT NOT NULL, basis TEXT, explanation TEXT,
    at_us INTEGER NOT NULL, PRIMARY KEY (email, subscription)) WITHOUT ROWID"""
ALL = 0
"""The subscription that stands for all of them."""
STATES = ("SUBSCRIBED", "UNSUBSCRIBED", "NOT_SPECIFIED")
BASES = frozenset(
    {
        "LEGITIMATE_INTEREST_PQL", "LEGITIMATE_INTEREST_CLIENT", "LEGITIMATE_INTEREST_OTHER", "PERFORMANCE_OF_CONTRACT",
        "CONSENT_WITH_NOTICE", "NON_GDPR", "PROCESS_AND_STORE",
    }
)  # fmt: skip
Row = tuple[str, str | None, str | None, int]
Shown = dict[str, Any]


def _definition(id: int, name: str, description: str, method: str) -> Shown:
    return {
        "id": str(id), "name": name, "description": description, "purpose": "Marketing", "communicationMethod": method,
        "isActive": True, "isDefault": id == 7001, "isInternal": False, "createdAt": BORN, "updatedAt": BORN,
    }  # fmt: skip


DEFINITIONS = [
    _definition(7001, "Marketing Information", "Marketing offers and updates.", "Email"),
    _definition(7002, "One to One", "One to One emails", "Email"),
    _definition(7003, "Customer Service Communication", "Feedback requests and customer service information.", "Email"),
]


def old_definitions() -> list[Shown]:
    """Return the subscription types as the legacy e-mail API shows them."""
    return [
        {
            "id": int(one["id"]), "portalId": PORTAL_ID, "name": one["name"], "description": one["description"],
            "active": one["isActive"], "internal": one["isInternal"], "category": one["purpose"],
            "channel": one["communicationMethod"],
        }
        for one in DEFINITIONS
    ]  # fmt: skip


class Consent:
    """The preferences of all addresses."""

    def __init__(self, state: State, writer: Writer) -> None:
        self._state, self._writer = state, writer
        with state.transaction() as db:
            db.execute(TABLE)

    # -- reading

    def _rows(self, email: str) -> dict[int, Row]:
        rows = self._state.connection().execute(
            "SELECT subscription, status, basis, explanation, at_us FROM hubspot_consent WHERE email = ?",
            (email.lower(),),
        )
        return {row[0]: row[1:] for row in rows}

    def old_statuses(self, email: str) -> list[Shown]:
        """Return the statuses of an address as v3 shows them."""
        rows = self._rows(email)
        return [self._old_status(rows, one) for one in DEFINITIONS]

    @staticmethod
    def _old_status(rows: Mapping[int, Row], definition: Shown) -> Shown:
        status, basis, explanation, _ = rows.get(int(definition["id"]), ("NOT_SUBSCRIBED", None, None, 0))
        source = "SUBSCRIPTION_STATUS"
        if ALL in rows:
            status, source = "NOT_SUBSCRIBED", "PORTAL_WIDE_STATUS"
        return {
            "id": definition["id"], "name": definition["name"], "description": definition["description"],
            "status": status if status == "SUBSCRIBED" else "NOT_SUBSCRIBED", "sourceOfStatus": source,
            "preferenceGroupName": None, "legalBasis": basis, "legalBasisExplanation": explanation,
        }  # fmt: skip

    def statuses(self, email: str) -> list[Shown]:
        """Return the statuses of an address as v4 shows them."""
        rows = self._rows(email)
        return [self._status(email, rows, one) for one in DEFINITIONS]

    def _status(self, email: str, rows: Mapping[int, Row], definition: Shown) -> Shown:
        status, basis, explanation, at = rows.get(int(definition["id"]), ("NOT_SPECIFIED", None, None, 0))
        source = "API" if at else "No subscription status found"
        if ALL in rows:
            status, source, at = "UNSUBSCRIBED", "Opted out of all email", rows[ALL][3]
        return {
            "channel": "EMAIL", "subscriberIdString": email, "subscriptionId": int(definition["id"]),
            "subscriptionName": definition["name"], "status": status, "source": source, "legalBasis": basis,
            "legalBasisExplanation": explanation, "timestamp": instant(at) if at else None,
        }  # fmt: skip

    def opted_out(self, email: str) -> Shown:
        """Return whether an address is unsubscribed from all, as v4 shows it."""
        found = self._rows(email).get(ALL)
        return {
            "channel": "EMAIL", "subscriberIdString": email, "wideStatusType": "PORTAL_WIDE",
            "status": "UNSUBSCRIBED" if found else "NOT_SPECIFIED", "timestamp": instant(found[3]) if found else None,
        }  # fmt: skip

    # -- writing

    def change_old(self, given: Mapping[str, Any], status: str) -> Shown:
        """Subscribe or unsubscribe by v3; whoever unsubscribed cannot be subscribed again by it."""
        email, id = str(given.get("emailAddress") or ""), given.get("subscriptionId")
        definition = self._definition(id)
        rows = self._rows(email)
        if status == "SUBSCRIBED" and (ALL in rows or rows.get(int(definition["id"]), ("",))[0] == "UNSUBSCRIBED"):
            raise invalid(f"{email} has unsubscribed from {definition['name']} and cannot be subscribed by the API.")
        self._keep(email, int(definition["id"]), status, given)
        return self._old_status(self._rows(email), definition)

    def change(self, email: str, given: Mapping[str, Any]) -> Shown:
        """Set one status by v4."""
        if given.get("channel") != "EMAIL":
            raise invalid("channel must be EMAIL.")
        status, definition = given.get("statusState"), self._definition(given.get("subscriptionId"))
        if status not in STATES:
            raise invalid(f"statusState must be one of {', '.join(STATES)}.")
        self._keep(email, int(definition["id"]), str(status), given)
        return self._status(email, self._rows(email), definition)

    @staticmethod
    def _definition(id: Any) -> Shown:
        for one in DEFINITIONS:
            if one["id"] == str(id):
                return one
        raise invalid(f"There is no subscription type {id}.")

    def _keep(self, email: str, subscription: int, status: str, given: Mapping[str, Any]) -> None:
        if not EMAIL.match(email):
            raise invalid(f"Email address {email} is invalid")
        basis, explanation = given.get("legalBasis"), given.get("legalBasisExplanation")
        if basis is not None and basis not in BASES:
            raise invalid(f"legalBasis must be one of {', '.join(sorted(BASES))}.")
        with self._state.transaction() as db:
            if (
                status == "SUBSCRIBED"
                and db.execute(
                    "DELETE FROM hubspot_consent WHERE email = ? AND subscription = ?", (email.lower(), ALL)
                ).rowcount
            ):
                self._mark(email, "false")
            db.execute(
                "INSERT OR REPLACE INTO hubspot_consent VALUES (?, ?, ?, ?, ?, ?)",
                (email.lower(), subscription, status, basis, explanation, self._state.now_us()),
            )

    def leave_all(self, email: str) -> list[Shown]:
        """Unsubscribe an address from all e-mail."""
        with self._state.transaction():
            self._keep(email, ALL, "UNSUBSCRIBED", {})
            self._mark(email, "true")
        return self.statuses(email)

    def _mark(self, email: str, value: str) -> None:
        contact = self._writer.contact_of(email)
        if contact is not None:
            self._writer.change(contact, {"hs_email_optout": value}, API)
