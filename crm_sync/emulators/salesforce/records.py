"""Create, change, upsert, delete and show single records; the collections and composite calls are made of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Invalid, Problem, Unsupported, not_found
from crm_sync.emulators.salesforce.querying import attributes
from crm_sync.emulators.salesforce.schema import STANDARD_ELSEWHERE, Org
from crm_sync.emulators.salesforce.values import check, deserialize
from crm_sync.emulators.state import Duplicate, Record, field_sql

PRECONDITION = Problem("PRECONDITION_FAILED", "The record has been modified since the given time.")
NO_IDS = Problem("INVALID_FIELD", "The Id field should not be specified in the sobject data.")
NO_ID = "Provided external ID field does not exist or is not accessible: "


@dataclass(frozen=True, slots=True)
class Saved:
    """What a write did."""

    id: str
    created: bool


class Records:
    """The records of one org."""

    def __init__(self, org: Org) -> None:
        self.org = org

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
        """Return an external-id field that records can be addressed by."""
        found = self.org.field(sobject, name)
        if found is None or not found.extra.get("external_id"):
            raise not_found(NO_ID + name)
        return found

    def by_key(self, sobject: str, field: FieldDeclaration, value: str) -> Record | None:
        """Return the live record that has an external id; several are a 300."""
        if field.unique:
            return self.org.state.find_unique(sobject, field.name, value)
        found = self.org.state.scan(sobject, where=f"fold({field_sql(field.name)}) = ?", params=[value.casefold()])
        if len(found) > 1:
            raise Several([one.id for one in found])
        return found[0] if found else None

    # -- writing

    def create(self, sobject: str, values: Mapping[str, Any]) -> Saved:
        """Create a record of deserialised values. Raises Invalid."""
        check(self.org, sobject, values, creating=True)
        defaults = {f.name: f.default for f in self.org.schema.fields(sobject).values() if f.default is not None}
        stored = {**defaults, **{name: full_id(self.org, sobject, name, value) for name, value in values.items()}}
        record_id = self.org.new_id(sobject)
        try:
            self.org.state.insert(sobject, record_id, stored)
        except Duplicate as taken:
            raise duplicate(taken) from None
        return Saved(record_id, created=True)

    def update(self, sobject: str, record_id: str, values: Mapping[str, Any]) -> Saved:
        """Change a live record. Raises Invalid."""
        check(self.org, sobject, values, creating=False)
        stored = {name: full_id(self.org, sobject, name, value) for name, value in values.items()}
        try:
            changed = self.org.state.update(sobject, record_id, stored)
        except Duplicate as taken:
            raise duplicate(taken) from None
        if changed is None:
            raise Invalid(Problem("ENTITY_IS_DELETED", "entity is deleted", ()), status=404)
        return Saved(record_id, created=False)

    def upsert(
        self, sobject: str, field: FieldDeclaration, value: str, values: Mapping[str, Any], *, update_only: bool = False
    ) -> Saved:
        """Change the record that has an external id, or create it."""
        with self.org.state.transaction():
            found = self.by_key(sobject, field, value)
            if found is not None:
                return self.update(sobject, found.id, values)
            if update_only:
                raise not_found()
            return self.create(sobject, {**values, field.name: value})

    def delete(self, sobject: str, record_id: str) -> None:
        """Delete a record and what hangs on it by a cascading reference; other references to it are cleared."""
        state = self.org.state
        with state.transaction():
            state.delete(sobject, record_id)
            for child in self.org.schema.objects:
                for field in self.org.schema.fields(child).values():
                    if field.extra.get("target") != sobject:
                        continue
                    where = f"{field_sql(field.name)} = ?"
                    for one in state.scan(child, where=where, params=[record_id]):
                        if field.extra.get("cascade"):
                            self.delete(child, one.id)
                        else:
                            state.update(child, one.id, {field.name: None}, touch=False)

    # -- the resources

    def post(self, call: Call, name: str) -> Answer:
        """POST sobjects/X."""
        sobject = self.sobject(name)
        refuse_id(call.body)
        saved = self.create(sobject, deserialize(self.org, sobject, call.body))
        location = {"Location": f"{call.base}/sobjects/{sobject}/{saved.id}"}
        return Answer(201, {"id": saved.id, "success": True, "errors": []}, location)

    def get(self, call: Call, name: str, record_id: str) -> Answer:
        """GET sobjects/X/id?fields=."""
        sobject = self.sobject(name)
        return self.one(call, sobject, self.live(sobject, record_id))

    def patch(self, call: Call, name: str, record_id: str) -> Answer:
        """PATCH sobjects/X/id, under If-Unmodified-Since where given."""
        sobject = self.sobject(name)
        refuse_id(call.body)
        with self.org.state.transaction():
            found = self.live(sobject, record_id)
            since = unmodified_since(call)
            if since is not None and found.modified_us > since:
                raise Failure(412, PRECONDITION)
            self.update(sobject, found.id, deserialize(self.org, sobject, call.body))
        return Answer(204)

    def remove(self, call: Call, name: str, record_id: str) -> Answer:
        """DELETE sobjects/X/id; conditional headers are not looked at."""
        sobject = self.sobject(name)
        self.delete(sobject, self.live(sobject, record_id).id)
        return Answer(204)

    def get_by_key(self, call: Call, name: str, key: str, value: str) -> Answer:
        """GET sobjects/X/Ext__c/value."""
        sobject = self.sobject(name)
        found = self.by_key(sobject, self.key_field(sobject, key), value)
        if found is None:
            raise not_found()
        return self.one(call, sobject, found)

    def patch_by_key(self, call: Call, name: str, key: str, value: str) -> Answer:
        """PATCH sobjects/X/Ext__c/value: an upsert."""
        sobject = self.sobject(name)
        if key.casefold() == "id":
            return self.patch(call, name, value)
        field = self.key_field(sobject, key)
        refuse_id(call.body)
        values = deserialize(self.org, sobject, call.body)
        if field.name in values:
            text = f"The {field.name} field should not be specified in the sobject data."
            raise Failure(400, Problem("INVALID_FIELD", text))
        saved = self.upsert(sobject, field, value, values, update_only=call.query.get("updateOnly") == "true")
        if not saved.created and call.version <= 45:
            return Answer(204)
        body = {"id": saved.id, "success": True, "errors": [], "created": saved.created}
        return Answer(201 if saved.created else 200, body)

    def remove_by_key(self, call: Call, name: str, key: str, value: str) -> Answer:
        """DELETE sobjects/X/Ext__c/value."""
        sobject = self.sobject(name)
        found = self.by_key(sobject, self.key_field(sobject, key), value)
        if found is None:
            raise not_found()
        self.delete(sobject, found.id)
        return Answer(204)

    def one(self, call: Call, sobject: str, record: Record) -> Answer:
        """Show a record: all fields, or those of ?fields=."""
        wanted = call.query.get("fields")
        fields = list(self.org.fields(sobject).values())
        if wanted:
            fields = [self.named(sobject, name.strip()) for name in wanted.split(",")]
        return Answer(body=self.row(call, sobject, record, fields))

    def named(self, sobject: str, name: str) -> FieldDeclaration:
        """Return a field named by the client, or fail."""
        found = self.org.field(sobject, name)
        if found is None:
            raise Failure(400, Problem("INVALID_FIELD", f"No such column '{name}' on entity '{sobject}'."))
        return found

    def row(self, call: Call, sobject: str, record: Record, fields: list[FieldDeclaration]) -> dict[str, Any]:
        """Return a record with its attributes and these fields."""
        shown = {field.name: self.org.value(sobject, record, field) for field in fields}
        return {**attributes(call.base, sobject, record.id), **shown}


class Several(Exception):
    """An external id that is not unique names several records."""

    def __init__(self, found: list[str]) -> None:
        super().__init__("several records")
        self.ids = found


def duplicate(taken: Duplicate) -> Invalid:
    """Return the problem of a taken unique value, which names the holder by its short id."""
    text = f"duplicate value found: {taken.field} duplicates value on record with id: {taken.id[:15]}"
    return Invalid(Problem("DUPLICATE_VALUE", text, ()))


def full_id(org: Org, sobject: str, name: str, value: Any) -> Any:
    """Return a reference in its 18-character form, other values as they are."""
    if value is not None and org.fields(sobject)[name].type == "reference":
        return ids.parse(value)
    return value


def refuse_id(body: Any) -> None:
    """Refuse a body that names the record's own id."""
    if isinstance(body, dict) and any(str(name).casefold() == "id" for name in body):
        raise Failure(400, NO_IDS)


def unmodified_since(call: Call) -> int | None:
    """Return the precondition in microseconds; a value that is no HTTP date is a bad request."""
    text = call.headers.get("if-unmodified-since")
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        raise Failure(400, Problem("INVALID_HEADER", f"Invalid value for header If-Unmodified-Since: {text}")) from None
    return int(moment.astimezone(UTC).timestamp()) * 1_000_000
