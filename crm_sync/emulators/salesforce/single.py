"""Answer the calls about one record: sobjects/X, sobjects/X/id, sobjects/X/Ext__c/value."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Problem, not_found
from crm_sync.emulators.salesforce.reading import fetch
from crm_sync.emulators.salesforce.records import Records
from crm_sync.emulators.salesforce.rendering import Shape, all_fields
from crm_sync.emulators.salesforce.resolving import find_path
from crm_sync.emulators.salesforce.soql.tree import Query, Token
from crm_sync.emulators.salesforce.values import deserialize
from crm_sync.emulators.state import Record

PRECONDITION = Problem("PRECONDITION_FAILED", "The record has been modified since the given time.")
NO_IDS = Problem("INVALID_FIELD", "The Id field should not be specified in the sobject data.")


class Single:
    """The resources of single records."""

    def __init__(self, records: Records) -> None:
        self.records, self.org = records, records.org

    def post(self, call: Call, name: str) -> Answer:
        """POST sobjects/X."""
        sobject = self.records.sobject(name)
        refuse_id(call.body)
        values = deserialize(self.org, sobject, call.body)
        saved = self.records.create(sobject, values, allow_save=allows_save(call))
        location = {"Location": f"{call.base}/sobjects/{sobject}/{saved.id}"}
        return Answer(201, {"id": saved.id, "success": True, "errors": []}, location)

    def get(self, call: Call, name: str, record_id: str) -> Answer:
        """GET sobjects/X/id?fields=."""
        sobject = self.records.sobject(name)
        return self.one(call, sobject, self.records.live(sobject, record_id))

    def patch(self, call: Call, name: str, record_id: str) -> Answer:
        """PATCH sobjects/X/id, under If-Unmodified-Since where given."""
        sobject = self.records.sobject(name)
        refuse_id(call.body)
        with self.org.state.transaction():
            found = self.records.live(sobject, record_id)
            since = unmodified_since(call)
            if since is not None and found.modified_us > since:
                raise Failure(412, PRECONDITION)
            self.records.update(sobject, found.id, deserialize(self.org, sobject, call.body))
        return Answer(204)

    def remove(self, call: Call, name: str, record_id: str) -> Answer:
        """DELETE sobjects/X/id; conditional headers are not looked at."""
        sobject = self.records.sobject(name)
        self.records.delete(sobject, self.records.live(sobject, record_id).id)
        return Answer(204)

    def get_by_key(self, call: Call, name: str, key: str, value: str) -> Answer:
        """GET sobjects/X/Ext__c/value."""
        sobject = self.records.sobject(name)
        found = self.records.by_key(sobject, self.records.key_field(sobject, key), value)
        if found is None:
            raise not_found()
        return self.one(call, sobject, found)

    def patch_by_key(self, call: Call, name: str, key: str, value: str) -> Answer:
        """PATCH sobjects/X/Ext__c/value: an upsert; 200 or 201 from v46 on, 204 for an update before."""
        sobject = self.records.sobject(name)
        if key.casefold() == "id":
            return self.patch(call, name, value)
        field = self.records.key_field(sobject, key)
        refuse_id(call.body)
        values = deserialize(self.org, sobject, call.body)
        if field.name in values:
            text = f"The {field.name} field should not be specified in the sobject data."
            raise Failure(400, Problem("INVALID_FIELD", text))
        only = call.query.get("updateOnly") == "true"
        saved = self.records.upsert(sobject, field, value, values, update_only=only, allow_save=allows_save(call))
        if not saved.created and call.version <= 45:
            return Answer(204)
        body = {"id": saved.id, "success": True, "errors": [], "created": saved.created}
        return Answer(201 if saved.created else 200, body)

    def remove_by_key(self, call: Call, name: str, key: str, value: str) -> Answer:
        """DELETE sobjects/X/Ext__c/value."""
        sobject = self.records.sobject(name)
        found = self.records.by_key(sobject, self.records.key_field(sobject, key), value)
        if found is None:
            raise not_found()
        self.records.delete(sobject, found.id)
        return Answer(204)

    def one(self, call: Call, sobject: str, record: Record) -> Answer:
        """Show a record: all fields, or those of ?fields=."""
        wanted = call.query.get("fields")
        shape = self.shape(call, sobject, wanted.split(",")) if wanted else all_fields(self.org, sobject, call.base)
        rows = shape.rows(fetch(self.org.state, sobject, [record.id]).values())
        if not rows:
            raise not_found()
        return Answer(body=rows[0])

    def shape(self, call: Call, sobject: str, names: list[str]) -> Shape:
        """Return the shape of fields named by a client, parents' fields too. Raises Failure."""
        shape = Shape(self.org, sobject, call.base)
        for name in names:
            shape.add(self.named(sobject, str(name).strip()))
        return shape

    def named(self, sobject: str, name: str) -> tuple[FieldDeclaration, ...]:
        """Return the path to a field named by the client, or fail."""
        if "." in name:
            query = Query(name, Token("name", sobject, 0), None, ())
            return find_path(self.org, query, sobject, Token("name", name, 0))
        found = self.org.field(sobject, name)
        if found is None:
            raise Failure(400, Problem("INVALID_FIELD", f"No such column '{name}' on entity '{sobject}'."))
        return (found,)


def allows_save(call: Call) -> bool:
    """Tell whether the client wants to save what a duplicate rule warns of."""
    return "allowsave=true" in call.headers.get("sforce-duplicate-rule-header", "").replace(" ", "").casefold()


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
