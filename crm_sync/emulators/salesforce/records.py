"""Create, change, upsert and delete records: what single calls, collections, composite calls and bulk jobs share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.bin import Bin
from crm_sync.emulators.salesforce.derived import derive
from crm_sync.emulators.salesforce.failures import Failure, Invalid, Problem, Unsupported, not_found
from crm_sync.emulators.salesforce.keys import find_by_key
from crm_sync.emulators.salesforce.mischief import Mischief
from crm_sync.emulators.salesforce.reading import doc_sql, stream
from crm_sync.emulators.salesforce.schema import STANDARD_ELSEWHERE, Org, addresses
from crm_sync.emulators.salesforce.values import check, convert, full_ids
from crm_sync.emulators.salesforce.workflows import Workflows
from crm_sync.emulators.state import Duplicate, NewRecord, Record

NO_ID = "Provided external ID field does not exist or is not accessible: "
DRAFT = "5"


@dataclass(frozen=True, slots=True)
class Saved:
    """What a write did."""

    id: str
    created: bool


class Several(Exception):
    """An external id that is not unique names several records."""

    def __init__(self, sobject: str, found: list[str]) -> None:
        super().__init__("several records")
        self.sobject, self.ids = sobject, found


class Listener(Protocol):
    """Who wants to know of writes, in their transaction."""

    def saved(self, sobject: str, record_id: str, *, created: bool) -> None:
        """Take notice of one record."""


class Records:
    """The records of one org."""

    def __init__(self, org: Org, mischief: Mischief, listener: Listener | None = None) -> None:
        self.org, self.mischief, self.listener = org, mischief, listener
        self.bin, self.workflows = Bin(org), Workflows(org)

    # -- finding

    def sobject(self, name: str) -> str:
        """Return the declared object name, or fail as the API does."""
        found = self.org.object(name)
        if found is not None:
            return found
        if name.casefold() in STANDARD_ELSEWHERE:
            raise Unsupported(f"the object {name}")
        raise not_found()

    def live(self, sobject: str, text: str) -> Record:
        """Return a live record by its id of 15 or 18 characters."""
        parsed = ids.parse(text)
        if parsed is None:
            raise not_found(NO_ID + text)
        found = self.org.state.get(sobject, parsed)
        if found is None:
            raise not_found()
        if found.deleted:
            raise Failure(404, Problem("ENTITY_IS_DELETED", "entity is deleted", ()))
        return found

    def key_field(self, sobject: str, name: str) -> FieldDeclaration:
        """Return a field that records can be addressed by: Id, an external id, or one with idLookup (Email)."""
        found = self.org.field(sobject, name)
        if found is None or not addresses(found):
            raise not_found(NO_ID + name)
        return found

    def by_key(self, sobject: str, field: FieldDeclaration, value: str) -> Record | None:
        """Return the live record that has an external id; several are a 300."""
        found = find_by_key(self.org, sobject, field, value)
        if len(found) > 1:
            raise Several(sobject, found)
        return self.org.state.get(sobject, found[0]) if found else None

    # -- writing

    def create(self, sobject: str, values: Mapping[str, Any], *, allow_save: bool = False) -> Saved:
        """Create a record of deserialised values; `allow_save`: although a duplicate rule warns. Raises Invalid."""
        self._admit(sobject, values, allow_save=allow_save)
        [record_id] = self.org.new_ids(sobject)
        return self._insert(sobject, NewRecord(record_id, self._stored(sobject, record_id, values)))

    def create_rows(self, sobject: str, rows: Sequence[Mapping[str, Any]]) -> list[Saved | Invalid]:
        """Create records of a batch, each for itself; in a transaction of the caller's. They cannot refer to others."""
        out: list[Saved | Invalid | None] = [self._refused(sobject, values) for values in rows]
        at = [number for number, refused in enumerate(out) if refused is None]
        new = [
            NewRecord(record_id, self._stored(sobject, record_id, rows[number]))
            for number, record_id in zip(at, self.org.new_ids(sobject, len(at)), strict=True)
        ]
        try:
            self.org.state.insert_many(sobject, new)
        except Duplicate:  # of those that were there, or among themselves: find out which
            made: list[Saved | Invalid] = [self._tried(sobject, one) for one in new]
        else:
            made = [self._told(sobject, one.id) for one in new]
        told = iter(made)
        return [next(told) if refused is None else refused for refused in out]

    def _refused(self, sobject: str, values: Mapping[str, Any]) -> Invalid | None:
        try:
            self.mischief.row(sobject)
            self._admit(sobject, values)
        except Invalid as invalid:
            return invalid
        return None

    def _tried(self, sobject: str, new: NewRecord) -> Saved | Invalid:
        try:
            with self.org.state.transaction():
                return self._insert(sobject, new)
        except Invalid as invalid:
            return invalid

    def _admit(self, sobject: str, values: Mapping[str, Any], *, allow_save: bool = False) -> None:
        """Hold a new record to the org's rules, before it is given an id. Raises Invalid."""
        self.mischief.write(sobject)
        if "createable" in self.org.never(sobject):
            text = f"entity type cannot be inserted: {sobject}"
            raise Invalid(Problem("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", text, ()))
        check(self.org, sobject, values, creating=True)
        self.mischief.create(sobject)
        if not allow_save and self.org.faults.strike("duplicate_rule", object=sobject):
            raise Invalid(self.suspect(sobject, values))

    def _stored(self, sobject: str, record_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a new record with defaults, numbers and what the org and its workflows set."""
        fields = self.org.schema.fields(sobject).values()
        stored = {f.name: f.default for f in fields if f.default is not None}
        stored |= full_ids(self.org, sobject, values)
        for field in fields:
            if digits := field.extra.get("auto_number"):
                number = self.org.state.next_number(f"auto:{sobject}.{field.name}") + 1000
                stored[field.name] = f"{number:0{digits}}"
        stored |= self.workflows.changes(sobject, record_id)
        return stored | derive(self.org, sobject, {}, stored)

    def _insert(self, sobject: str, new: NewRecord) -> Saved:
        try:
            self.org.state.insert_many(sobject, [new])
        except Duplicate as taken:
            raise duplicate(taken) from None
        return self._told(sobject, new.id)

    def _told(self, sobject: str, record_id: str) -> Saved:
        self.tell(sobject, record_id, created=True)
        return Saved(record_id, created=True)

    def update(self, sobject: str, record_id: str, values: Mapping[str, Any]) -> Saved:
        """Change a live record. Raises Invalid."""
        self.mischief.write(sobject, record_id)
        check(self.org, sobject, values, creating=False)
        old = self.org.state.get(sobject, record_id)
        if old is None or old.deleted:
            raise Invalid(Problem("ENTITY_IS_DELETED", "entity is deleted", ()), status=404)
        if sobject == "EmailMessage" and old.values.get("Status", DRAFT) != DRAFT:
            text = "insufficient access rights on object id: only draft e-mails can be edited"
            raise Invalid(Problem("INSUFFICIENT_ACCESS_OR_READONLY", text, ()))
        stored = full_ids(self.org, sobject, values)
        stored |= self.workflows.changes(sobject, record_id)
        stored |= derive(self.org, sobject, old.values, stored)
        try:
            self.org.state.update(sobject, record_id, stored)
        except Duplicate as taken:
            raise duplicate(taken) from None
        self.tell(sobject, record_id, created=False)
        return Saved(record_id, created=False)

    def upsert(
        self, sobject: str, field: FieldDeclaration, value: str, values: Mapping[str, Any], *,
        update_only: bool = False, allow_save: bool = False,
    ) -> Saved:
        """Change the record that has an external id, or create it."""
        with self.org.state.transaction():
            found = self.by_key(sobject, field, value)
            if found is not None:
                return self.update(sobject, found.id, values)
            if update_only:
                raise not_found()
            return self.create(sobject, {**values, field.name: convert(field, value)}, allow_save=allow_save)

    def delete(self, sobject: str, record_id: str) -> Saved:
        """Delete a record and what hangs on it. Raises Invalid."""
        self.mischief.write(sobject, record_id)
        self.bin.delete(sobject, record_id)
        return Saved(record_id, created=False)

    def existing(self, sobject: str, record_id: str) -> Record:
        """Return a live record that a row of a batch names. Raises Invalid."""
        found = self.org.state.get(sobject, record_id)
        if found is None:
            raise Invalid(Problem("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", ()))
        if found.deleted:
            raise Invalid(Problem("ENTITY_IS_DELETED", "entity is deleted", ()), status=404)
        return found

    def tell(self, sobject: str, record_id: str, *, created: bool) -> None:
        """Let the listener know of a write."""
        if self.listener is not None:
            self.listener.saved(sobject, record_id, created=created)

    def suspect(self, sobject: str, values: Mapping[str, Any]) -> Problem:
        """Return what a duplicate rule says of a new record: which live one it takes it for."""
        name = "Email" if values.get("Email") else str(self.org.label(sobject, "name_field") or "Id")
        name = "LastName" if name == "Name" and "LastName" in values else name
        where = f"fold({doc_sql('r', name)}) = ?"
        sql = f"SELECT r.id FROM record r WHERE r.object = '{sobject}' AND NOT r.deleted AND {where} LIMIT 1"
        rows = stream(self.org.state, sql, (str(values.get(name) or "").casefold(),))
        matched = [
            {
                "additionalInformation": [],
                "fieldDiffs": [],
                "matchConfidence": 100.0,
                "record": {"attributes": {"type": sobject, "url": f"/sobjects/{sobject}/{row[0]}"}, "Id": row[0]},
            }
            for row in rows
        ]
        found = {
            "allowSave": True,
            "duplicateRule": f"Standard_{sobject}_Duplicate_Rule",
            "duplicateRuleEntityType": sobject,
            "errorMessage": "Use one of these records?",
            "matchResults": [
                {
                    "entityType": sobject,
                    "errors": [],
                    "matchEngine": "FuzzyMatchEngine",
                    "matchRecords": matched,
                    "rule": f"Standard_{sobject}_Match_Rule_v1_0",
                    "size": len(matched),
                    "success": True,
                }
            ],
        }
        return Problem("DUPLICATES_DETECTED", "Use one of these records?", (), {"duplicateResult": found})


def duplicate(taken: Duplicate) -> Invalid:
    """Return the problem of a taken unique value, which names the holder by its short id."""
    text = f"duplicate value found: {taken.field} duplicates value on record with id: {taken.id[:15]}"
    return Invalid(Problem("DUPLICATE_VALUE", text, ()))
