"""Delete records with what hangs on them, bring them back, merge them, and forget them for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_sync.emulators.salesforce.failures import Invalid, Problem
from crm_sync.emulators.salesforce.keys import referring
from crm_sync.emulators.salesforce.reading import BIN_US, stream
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.state import Duplicate

SCHEMA = (
    "CREATE TABLE IF NOT EXISTS sf_cascade (root TEXT NOT NULL, object TEXT NOT NULL, id TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS sf_cascade_by_root ON sf_cascade (root)",
    "CREATE INDEX IF NOT EXISTS sf_cascade_by_id ON sf_cascade (id)",
    "CREATE TABLE IF NOT EXISTS sf_purged (object TEXT NOT NULL, id TEXT NOT NULL, deleted_us INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS sf_purged_by_moment ON sf_purged (object, deleted_us)",
)
MOST_LOSERS = 2


class Bin:
    """The recycle bin of one org."""

    def __init__(self, org: Org) -> None:
        self.org = org
        with org.state.transaction() as db:
            for statement in SCHEMA:
                db.execute(statement)

    def delete(self, sobject: str, record_id: str, *, root: str | None = None) -> None:
        """Delete a record and what hangs on it by a cascading reference; other references to it are cleared.

        Raises Invalid where the object, or something that refers to the record, does not allow it.
        """
        state = self.org.state
        if "deletable" in self.org.never(sobject):
            raise Invalid(Problem("INSUFFICIENT_ACCESS_OR_READONLY", f"entity type cannot be deleted: {sobject}", ()))
        with state.transaction() as db:
            for child, field, _ in self.org.children(sobject):
                for one in referring(self.org, child, field, record_id):
                    self._let_go(child, field.name, field.extra, one, root or record_id)
            state.delete(sobject, record_id)
            if root is not None:
                db.execute("INSERT INTO sf_cascade VALUES (?, ?, ?)", (root, sobject, record_id))

    def _let_go(self, child: str, name: str, rules: Mapping[str, Any], record_id: str, root: str) -> None:
        state = self.org.state
        if rules.get("restrict"):
            text = (
                "Your attempt to delete the record could not be completed because it is associated with the following "
                f"{self.org.label(child, 'plural')}: {record_id}"
            )
            raise Invalid(Problem("DELETE_FAILED", text, ()))
        cascades = bool(rules.get("cascade"))
        if rules.get("cascade_if_alone"):
            found = state.get(child, record_id)
            cascades = found is not None and not found.values.get("WhatId")
        if cascades:
            self.delete(child, record_id, root=root)
        else:
            state.update(child, record_id, {name: None}, touch=False)

    def undelete(self, record_id: str) -> None:
        """Bring a record back, and what was deleted with it. Raises Invalid."""
        sobject = self.org.prefix_object(record_id)
        found = self.org.state.get(sobject, record_id) if sobject else None
        if sobject is None or found is None or found.modified_us <= self.org.state.now_us() - BIN_US:
            raise Invalid(Problem("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ()))
        if not found.deleted or found.merged_into:
            raise Invalid(Problem("UNDELETE_FAILED", "Entity is not in the recycle bin", ()))
        with self.org.state.transaction() as db:
            rows = db.execute("SELECT object, id FROM sf_cascade WHERE root = ?", (record_id,)).fetchall()
            db.execute("DELETE FROM sf_cascade WHERE root = ?", (record_id,))
            db.execute("DELETE FROM sf_cascade WHERE id = ?", (record_id,))
            for child, child_id in [(sobject, record_id), *rows]:
                self._revive(child, child_id)

    def _revive(self, sobject: str, record_id: str) -> None:
        state = self.org.state
        with state.transaction() as db:
            db.execute("UPDATE record SET deleted = 0 WHERE object = ? AND id = ?", (sobject, record_id))
            found = state.get(sobject, record_id)
            if found is None:
                return
            unique = {name: found.values[name] for name in state.unique_fields(sobject) if found.values.get(name)}
            try:
                state.update(sobject, record_id, unique)
            except Duplicate as taken:
                text = f"duplicate value found: {taken.field} duplicates value on record with id: {taken.id[:15]}"
                raise Invalid(Problem("DUPLICATE_VALUE", text, ())) from None

    def merge(self, sobject: str, winner: str, losers: Sequence[str]) -> list[str]:
        """Merge records into another, which takes over what refers to them; return the ids that were re-parented.

        Raises Invalid. Source: SOAP API guide, merge().
        """
        state = self.org.state
        if not self.org.label(sobject, "merges"):
            raise Invalid(Problem("INVALID_TYPE", f"merge is not supported for {sobject}", ()))
        if not 1 <= len(losers) <= MOST_LOSERS:
            raise Invalid(Problem("INVALID_ID_FIELD", f"between 1 and {MOST_LOSERS} records can be merged", ()))
        for one in (winner, *losers):
            found = state.get(sobject, one)
            if found is None:
                raise Invalid(Problem("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ()))
            if found.deleted:
                raise Invalid(Problem("ENTITY_IS_DELETED", "entity is deleted", ()))
        if winner in losers or len(set(losers)) < len(losers):
            raise Invalid(Problem("DUPLICATE_VALUE", "the records to merge must differ", ()))
        moved: list[str] = []
        with state.transaction():
            for loser in losers:
                for child, field, _ in self.org.children(sobject):
                    for one in referring(self.org, child, field, loser):
                        if one in (winner, *losers) and child == sobject:
                            state.update(child, one, {field.name: None}, touch=False)
                            continue
                        state.update(child, one, {field.name: winner})
                        moved.append(one)
                state.delete(sobject, loser, merged_into=winner)
        return moved

    def purge(self, sobject: str, record_id: str) -> None:
        """Forget a deleted record; getDeleted alone still tells of it."""
        state = self.org.state
        with state.transaction() as db:
            found = state.get(sobject, record_id)
            if found is None or not found.deleted:
                raise Invalid(Problem("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ()))
            db.execute("INSERT INTO sf_purged VALUES (?, ?, ?)", (sobject, record_id, found.modified_us))
            state.purge(sobject, record_id)

    def purged(self, sobject: str, start_us: int, end_us: int) -> list[tuple[str, int]]:
        """Return (id, moment of deletion) of what is gone for good."""
        sql = "SELECT id, deleted_us FROM sf_purged WHERE object = ? AND deleted_us >= ? AND deleted_us < ?"
        return [(row[0], row[1]) for row in stream(self.org.state, sql, (sobject, start_us, end_us))]
