"""Answer the calls about one record: sobjects/X, sobjects/X/id, sobjects/X/Ext__c/value, and what is related to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Problem, Unsupported, not_found
from crm_sync.emulators.salesforce.querying import Querying
from crm_sync.emulators.salesforce.reading import fetch
from crm_sync.emulators.salesforce.records import Records, Saved
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
        self.querying = Querying(records.org, records.mischief)

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
        if self.names_record(sobject, key):
            return self.related(call, sobject, self.records.live(sobject, key), value)
        return self.one(call, sobject, self.found(sobject, key, value))

    def patch_by_key(self, call: Call, name: str, key: str, value: str) -> Answer:
        """PATCH sobjects/X/Ext__c/value: an upsert; 200 or 201 from v46 on, 204 for an update before."""
        sobject = self.records.sobject(name)
        self.refuse_related(call, sobject, key)
        field = self.records.key_field(sobject, key)
        refuse_id(call.body)
        if field.name == "Id":
            found = self.records.live(sobject, value)
            self.patch(call, name, found.id)
            return upserted(call, Saved(found.id, created=False))
        values = deserialize(self.org, sobject, call.body)
        if field.name in values:
            text = f"The {field.name} field should not be specified in the sobject data."
            raise Failure(400, Problem("INVALID_FIELD", text))
        only = call.query.get("updateOnly") == "true"
        saved = self.records.upsert(sobject, field, value, values, update_only=only, allow_save=allows_save(call))
        return upserted(call, saved)

    def remove_by_key(self, call: Call, name: str, key: str, value: str) -> Answer:
        """DELETE sobjects/X/Ext__c/value."""
        sobject = self.records.sobject(name)
        self.refuse_related(call, sobject, key)
        self.records.delete(sobject, self.found(sobject, key, value).id)
        return Answer(204)

    def post_by_id(self, call: Call, name: str, key: str) -> Answer:
        """POST sobjects/X/Id: the upsert of a record that has no id yet."""
        if key.casefold() != "id":
            raise Failure(405, Problem("METHOD_NOT_ALLOWED", "HTTP Method 'POST' not allowed. Allowed are GET,PATCH"))
        made = self.post(call, name)
        return Answer(201, {**made.body, "created": True}, made.headers)

    # -- related records: sobjects/X/id/relationship

    def names_record(self, sobject: str, key: str) -> bool:
        """Tell whether the place of a key holds a record's id: a relationship follows then."""
        parsed = ids.parse(key)
        return parsed is not None and self.org.field(sobject, key) is None

    def refuse_related(self, call: Call, sobject: str, key: str) -> None:
        """Refuse to write along a relationship."""
        if self.names_record(sobject, key):
            raise Unsupported(f"{call.method} {call.base}/{call.path}")

    def related(self, call: Call, sobject: str, record: Record, name: str) -> Answer:
        """Show the parent that a relationship leads to, or the children. Source: REST guide, sObject Relationships."""
        reference = self.org.relationship(sobject, name)
        if reference is not None:
            parent = ids.parse(record.values.get(reference.name))
            target = self.org.prefix_object(parent) if parent else None
            if parent is None or target is None:
                raise not_found()
            return self.one(call, target, self.records.live(target, parent))
        for child, field, relation in self.org.children(sobject):
            if relation and relation.casefold() == name.casefold():
                fields = call.query.get("fields") or ",".join(self.org.fields(child))
                text = f"SELECT {fields} FROM {child} WHERE {field.name} = '{record.id}'"
                return self.querying.query(replace(call, query={"q": text}), deleted=False)
        raise not_found()

    def found(self, sobject: str, key: str, value: str) -> Record:
        """Return the live record that a key names. Raises Failure, Several."""
        field = self.records.key_field(sobject, key)
        found = self.records.live(sobject, value) if field.name == "Id" else self.records.by_key(sobject, field, value)
        if found is None:
            raise not_found()
        return found

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


def upserted(call: Call, saved: Saved) -> Answer:
    """Return the answer of an upsert."""
    if not saved.created and call.version <= 45:
        return Answer(204)
    body = {"id": saved.id, "success": True, "errors": [], "created": saved.created}
    return Answer(201 if saved.created else 200, body)


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
