"""Answer the sObject Collections: up to 200 records a call, each for itself unless allOrNone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Invalid, Problem, Unsupported, malformed_json
from crm_sync.emulators.salesforce.reading import DELETED, fetch
from crm_sync.emulators.salesforce.records import Records, Saved, Several
from crm_sync.emulators.salesforce.schema import STANDARD_ELSEWHERE
from crm_sync.emulators.salesforce.single import NO_IDS, Single, allows_save
from crm_sync.emulators.salesforce.values import deserialize

MOST = 200
ROLLED_BACK = Problem(
    "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "Record rolled back because not all records were valid and the request was using AllOrNone header",
)
Write = Callable[[], Saved]
RowWrite = Callable[[str, dict[str, Any]], Saved]
"""Writes values to a record of an object."""
Row = tuple[str, Write]
"""The object of a row ("" where its id tells of none) and its writing."""


class _Undo(Exception):
    """Leaves the transaction of an allOrNone request."""


class Collections:
    """The collections of one org."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.org = records.org
        self.single = Single(records)

    def create(self, call: Call) -> Answer:
        """POST composite/sobjects."""
        writes: list[Row] = []
        for row in self.rows(call):
            if id_of(row) is not None:
                raise Failure(400, NO_IDS)
            writes.append(self.prepared(self.type_of(row), row, self.creating(call)))
        return self.run(call, writes, upsert=False)

    def update(self, call: Call) -> Answer:
        """PATCH composite/sobjects."""
        writes = [self.prepared(self.type_of(row), row, self.updating(id_of(row))) for row in self.rows(call)]
        return self.run(call, writes, upsert=False)

    def upsert(self, call: Call, name: str, key: str) -> Answer:
        """PATCH composite/sobjects/X/Ext__c: the key stands in each row; with Id, rows without one are created."""
        sobject = self.records.sobject(name)
        field = self.records.key_field(sobject, key)
        writes: list[Row] = []
        for row in self.rows(call):
            if self.type_of(row) != sobject:
                raise Failure(400, Problem("INVALID_TYPE", f"all records must be of type {sobject}"))
            named = id_of(row)
            if field.name != "Id":
                if named is not None:
                    raise Failure(400, NO_IDS)
                write = self.upserting(call, field)
            else:
                write = self.updating(named) if named else self.creating(call)
            writes.append(self.prepared(sobject, row, write))
        return self.run(call, writes, upsert=True)

    def delete(self, call: Call) -> Answer:
        """DELETE composite/sobjects?ids=."""
        given = [one for one in call.query.get("ids", "").split(",") if one]
        if not given:
            raise Failure(400, Problem("INVALID_ID_FIELD", "ids is required"))
        self.at_most(given)
        return self.run(call, [self.deleting(one) for one in given], upsert=False)

    def retrieve(self, call: Call, name: str) -> Answer:
        """POST composite/sobjects/X {"ids", "fields"}, or GET with ?ids=&fields=; null for what is not there."""
        sobject = self.records.sobject(name)
        if call.method == "GET":
            wanted, names = (call.query.get(key, "").split(",") for key in ("ids", "fields"))
        else:
            if not isinstance(call.body, dict):
                raise malformed_json("The HTTP entity body is required")
            wanted, names = call.body.get("ids") or [], call.body.get("fields") or []
        if not isinstance(wanted, list) or not isinstance(names, list):
            raise malformed_json("ids and fields must be lists")
        self.at_most(wanted)
        shape = self.single.shape(call, sobject, names)
        parsed = [ids.parse(one) for one in wanted]
        records = fetch(self.org.state, sobject, [one for one in parsed if one])
        live = {key: row for key, row in records.items() if not row[DELETED]}
        found: dict[str | None, Any] = dict(zip(live, shape.rows(live.values()), strict=True))
        return Answer(body=[found.get(one) for one in parsed])

    # -- parts

    def rows(self, call: Call) -> list[dict[str, Any]]:
        """Return the rows of the body."""
        rows = call.body.get("records") if isinstance(call.body, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise malformed_json("The HTTP entity body is required: a list 'records' of objects")
        if not rows:
            raise Failure(400, Problem("INVALID_INPUT", "records is required and cannot be empty"))
        self.at_most(rows)
        return rows

    @staticmethod
    def at_most(rows: Sequence[Any]) -> None:
        """Refuse a call of more than 200 rows."""
        if len(rows) > MOST:
            text = f"record limit reached. cannot submit more than {MOST} records into this operation"
            raise Failure(400, Problem("LIMIT_EXCEEDED", text))

    def type_of(self, row: dict[str, Any]) -> str:
        """Return the object that a row says it is."""
        attributes = row.get("attributes")
        name = attributes.get("type") if isinstance(attributes, dict) else None
        if not isinstance(name, str):
            raise malformed_json("attributes.type is required in each record")
        found = self.org.object(name)
        if found is None:
            if name.casefold() in STANDARD_ELSEWHERE:
                raise Unsupported(f"the object {name}")
            raise Failure(400, Problem("INVALID_TYPE", f"sObject type '{name}' is not supported."))
        return found

    def prepared(self, sobject: str, row: dict[str, Any], write: RowWrite) -> Row:
        """Read a row's values and return its writing; a parent that is not there is the trouble of this row alone."""
        try:
            values = deserialize(self.org, sobject, {k: v for k, v in row.items() if k.casefold() != "id"})
        except Invalid as invalid:
            return sobject, failing(*invalid.problems)
        return sobject, partial(write, sobject, values)

    def creating(self, call: Call) -> RowWrite:
        """Return how rows are created."""
        return partial(self.records.create, allow_save=allows_save(call))

    def upserting(self, call: Call, field: FieldDeclaration) -> RowWrite:
        """Return how rows are upserted by the value of a key in them."""
        save = allows_save(call)

        def write(sobject: str, values: dict[str, Any]) -> Saved:
            value = values.get(field.name)
            if value is None:
                raise Invalid(Problem("MISSING_ARGUMENT", f"{field.name} not specified", ()))
            rest = {name: one for name, one in values.items() if name != field.name}
            return self.records.upsert(sobject, field, value, rest, allow_save=save)

        return write

    def updating(self, text: Any) -> RowWrite:
        """Return how the record of an id in a row is updated."""

        def write(sobject: str, values: dict[str, Any]) -> Saved:
            if text is None:
                raise Invalid(Problem("MISSING_ARGUMENT", "Id not specified in an update call", ()))
            parsed = ids.parse(text)
            if parsed is None or self.org.prefix_object(parsed) != sobject:
                raise Invalid(Problem("MALFORMED_ID", f"{sobject} ID: id value of incorrect type: {text}", ("Id",)))
            self.records.existing(sobject, parsed)
            return self.records.update(sobject, parsed, values)

        return write

    def deleting(self, text: str) -> Row:
        """Return the deletion of a record of whatever object its id says."""
        parsed = ids.parse(text)
        sobject = self.org.prefix_object(parsed) if parsed else None
        if parsed is None or sobject is None:
            return "", failing(Problem("MALFORMED_ID", f"malformed id {text}", ()))

        def write() -> Saved:
            self.records.existing(sobject, parsed)
            return self.records.delete(sobject, parsed)

        return sobject, write

    def run(self, call: Call, writes: Sequence[Row], *, upsert: bool) -> Answer:
        """Make the writes, each in a transaction of its own inside one; with allOrNone one failure undoes all."""
        flag = call.query.get("allOrNone") if call.method == "DELETE" else call.body.get("allOrNone")
        all_or_none = flag is True or flag == "true"
        results: list[Saved | Invalid] = []
        try:
            with self.org.state.transaction():
                results += [self.attempt(*write) for write in writes]
                if all_or_none and any(isinstance(one, Invalid) for one in results):
                    raise _Undo
        except _Undo:
            results = [one if isinstance(one, Invalid) else Invalid(ROLLED_BACK) for one in results]
        return Answer(body=[row(one, upsert) for one in results])

    def attempt(self, sobject: str, write: Write) -> Saved | Invalid:
        """Make one write; what it did is undone where it fails."""
        try:
            with self.org.state.transaction():
                self.records.mischief.row(sobject)
                return write()
        except Invalid as invalid:
            return invalid
        except Several as several:
            text = f"More than one record found for external id field: {several.ids}"
            return Invalid(Problem("DUPLICATE_EXTERNAL_ID", text, ()))


def id_of(row: dict[str, Any]) -> Any:
    """Return the id in a row, whatever its case."""
    return next((value for name, value in row.items() if name.casefold() == "id"), None)


def failing(*problems: Problem) -> Write:
    """Return a write that fails for this row alone."""

    def write() -> Saved:
        raise Invalid(*problems)

    return write


def row(result: Saved | Invalid, upsert: bool) -> dict[str, Any]:
    """Return one row of the answer."""
    if isinstance(result, Invalid):
        return {"success": False, "errors": [problem.row_form() for problem in result.problems]}
    out: dict[str, Any] = {"id": result.id, "success": True, "errors": []}
    return {**out, "created": result.created} if upsert else out
