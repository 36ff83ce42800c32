"""Who is meant by an e-mail address: a contact's primary one, or one of its additional ones.

Additional addresses are aliases: lookups by e-mail find the contact by them, and no other contact may take them.
Source: contacts guide; recorded clients resolve additional addresses by batch read and upsert.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.state import Duplicate, Record, State

CONTACTS = "contacts"
ADDITIONAL = "hs_additional_emails"
TABLE = """CREATE TABLE IF NOT EXISTS hubspot_alias (
    email TEXT PRIMARY KEY, id TEXT NOT NULL) WITHOUT ROWID"""
INDEX = "CREATE INDEX IF NOT EXISTS hubspot_alias_by_id ON hubspot_alias (id)"
BLOCKED = """CREATE TABLE IF NOT EXISTS hubspot_blocked (email TEXT PRIMARY KEY) WITHOUT ROWID"""


def addresses(text: Any) -> list[str]:
    """Return the addresses of a `;` list, in lower case."""
    return [one for one in str(text or "").lower().split(";") if one]


class Identity:
    """The addresses that contacts are known by besides their primary one, and those that nobody may have."""

    def __init__(self, state: State) -> None:
        self._state = state
        with state.transaction() as db:
            for statement in (TABLE, INDEX, BLOCKED):
                db.execute(statement)
        state.declare_unique(CONTACTS, "email", fold=True)

    def find(self, email: str) -> Record | None:
        """Return the live contact of an address."""
        found = self._state.find_unique(CONTACTS, "email", email)
        if found is not None:
            return found
        id = self._alias(email)
        return self._state.get(CONTACTS, id) if id else None

    def _alias(self, email: str) -> str | None:
        db = self._state.connection()
        row = db.execute("SELECT id FROM hubspot_alias WHERE email = ?", (email.lower(),)).fetchone()
        return str(row[0]) if row else None

    def claim(self, object: str, id: str, values: Mapping[str, Any]) -> None:
        """Hold the addresses that a write gives to a contact. Raises Duplicate where another contact has one."""
        if object != CONTACTS:
            return
        email = values.get("email")
        if email and (holder := self._alias(email)) not in (None, id):
            raise Duplicate(CONTACTS, "email", str(holder))
        if ADDITIONAL not in values:
            return
        self.release(object, id)
        for one in addresses(values[ADDITIONAL]):
            found = self.find(one)
            if found is not None and found.id != id:
                raise Duplicate(CONTACTS, "email", found.id)
            with self._state.transaction() as db:
                db.execute("INSERT OR REPLACE INTO hubspot_alias VALUES (?, ?)", (one, id))

    def release(self, object: str, id: str) -> None:
        """Let go of the additional addresses of a contact that is gone."""
        if object == CONTACTS:
            with self._state.transaction() as db:
                db.execute("DELETE FROM hubspot_alias WHERE id = ?", (id,))

    def block(self, email: str) -> None:
        """Let nobody have an address from now on."""
        with self._state.transaction() as db:
            db.execute("INSERT OR IGNORE INTO hubspot_blocked VALUES (?)", (email.lower(),))

    def blocked(self, email: str) -> bool:
        """Tell whether nobody may have an address."""
        db = self._state.connection()
        return db.execute("SELECT 1 FROM hubspot_blocked WHERE email = ?", (email.lower(),)).fetchone() is not None
