"""Answer writes of rows: preconditions, alternate keys, representations, single properties, links."""

from __future__ import annotations

from typing import Any

from crm_sync.emulators.dynamics.addressing import Addresses, RowKey
from crm_sync.emulators.dynamics.annotations import Annotator, context, select
from crm_sync.emulators.dynamics.changes import Bodies, Change
from crm_sync.emulators.dynamics.expanding import Expander, expansions
from crm_sync.emulators.dynamics.protocol import Answer, Call, ODataError, no_method, no_segment, payload_error
from crm_sync.emulators.dynamics.tables import Column, ManyToMany, OneToMany, Table, Tables
from crm_sync.emulators.dynamics.writing import Writer
from crm_sync.emulators.state import Record, State


class Rows:
    """Answers to writes of one environment."""

    def __init__(self, state: State, tables: Tables, addresses: Addresses, bodies: Bodies, writer: Writer) -> None:
        self._state = state
        self._tables = tables
        self._addresses = addresses
        self._bodies = bodies
        self._writer = writer
        self._annotator = Annotator(state, tables)
        self._expander = Expander(state, tables, self._annotator)

    def create(
        self, call: Call, table: Table, into: tuple[Table, Record, OneToMany | ManyToMany] | None = None
    ) -> Answer:
        """POST to a set, or `into` a collection of a row."""
        change = self._bodies.read(table, call.json(), creating=True)
        if into is not None and isinstance(into[2], OneToMany):
            change.point(into[2].column, into[0].logical, into[1].id)
        record = self._writer.insert(table, change, detect=_detects(call))
        if into is not None and isinstance(into[2], ManyToMany):
            self._writer.link(into[0], into[1].id, into[2], record.id)
        return self._written(call, table, record, created=True)

    def upsert(self, call: Call, table: Table, key: RowKey) -> Answer:
        """PATCH a row: change it or, unless forbidden by If-Match, create it."""
        if_match, if_none_match = call.header("if-match"), call.header("if-none-match")
        record = self._addresses.find(table, key)
        if record is None and if_match is not None:
            record = self._addresses.existing(table, key)
        if record is None:
            change = self._bodies.read(table, call.json(), creating=True)
            for name, value in key.values.items():
                change.values.setdefault(name, value)
            if change.id not in (None, key.id) and key.id is not None:
                raise payload_error(f"The id in the body is not that of the address: {key.id}.")
            change.id = key.id or change.id
            made = self._writer.insert(table, change, detect=_detects(call))
            return self._written(call, table, made, created=True, key=key)
        if if_none_match == "*":
            raise ODataError(412, "0x80040237", "A record with matching key values already exists.")
        _check(record, if_match)
        change = self._bodies.read(table, call.json(), creating=False)
        if change.id not in (None, record.id):
            raise payload_error(f"The id in the body is not that of {table.logical} {record.id}.")
        for name in key.values:
            change.values.pop(name, None)
        updated = self._writer.update(table, record, change, detect=_detects(call))
        return self._written(call, table, updated, created=False, key=key)

    def delete(self, call: Call, table: Table, record: Record) -> Answer:
        """DELETE a row."""
        _check(record, call.header("if-match"))
        self._writer.remove(table, record.id)
        return Answer()

    def property(self, call: Call, table: Table, record: Record, column: Column) -> Answer:
        """PUT, PATCH or DELETE the value of one column."""
        _check(record, call.header("if-match"))
        body = {"value": None} if call.method == "DELETE" else call.json()
        if "value" not in body:
            raise payload_error(f"The body must hold the value of '{column.name}' as value.")
        self._writer.update(table, record, self._bodies.read(table, {column.name: body["value"]}, creating=False))
        return Answer()

    def replace(self, call: Call, table: Table, record: Record, name: str) -> Answer:
        """PUT a collection of activity parties, {"value": [...]}, in place of the present one."""
        rows = call.json().get("value")
        if not name.endswith("_activity_parties") or not isinstance(rows, list):
            raise no_method()
        self._writer.update(table, record, self._bodies.read(table, {name: rows}, creating=False))
        return Answer()

    # -- links

    def link(self, call: Call, table: Table, record: Record, name: str, other_id: str | None) -> Answer:
        """POST, PUT or DELETE .../$ref; `other_id` is the key behind a collection's name."""
        if name in table.navigation:
            return self._link_single(call, table, record, name)
        collection = self._tables.collections(table.logical).get(name)
        if collection is None:
            raise no_segment(name)
        if call.method in ("POST", "PUT"):
            other, target = self._addresses.row(call.json().get("@odata.id"))
            self._writer.attach(table, record.id, collection, other, target.id)
            return Answer()
        other_id = other_id or self._named(call)
        if isinstance(collection, ManyToMany):
            self._writer.unlink(table, record.id, collection, other_id)
            return Answer()
        child = self._tables.table(collection.referencing)
        present = self._addresses.existing(child, self._addresses.row_key(child, other_id))
        change = Change()
        change.point(collection.column, table.logical, None)
        self._writer.update(child, present, change)
        return Answer()

    def _named(self, call: Call) -> str:
        """Return the row that DELETE .../$ref?$id=<address> names."""
        _, record = self._addresses.row(call.options().get("$id"))
        return record.id

    def _link_single(self, call: Call, table: Table, record: Record, name: str) -> Answer:
        if call.method == "DELETE":
            body: dict[str, Any] = {f"{name}@odata.bind": None}
        elif call.method == "PUT":
            body = {f"{name}@odata.bind": call.json().get("@odata.id")}
            if body[f"{name}@odata.bind"] is None:
                raise payload_error("The body must name the row to link in @odata.id.")
        else:
            raise no_method()
        self._writer.update(table, record, self._bodies.read(table, body, creating=False))
        return Answer()

    def _written(self, call: Call, table: Table, record: Record, *, created: bool, key: RowKey | None = None) -> Answer:
        if call.preferences().get("return") == "representation":
            options = call.options()
            chosen, found = options.get("$select"), expansions(options.get("$expand"))
            wanted = call.preferences().get("odata.include-annotations")
            rows = self._annotator.rows(table, select(table, chosen), [record], wanted)
            self._expander.attach(call, table, [record], rows, found)
            head = {"@odata.context": context(call.root, table, chosen, "/$entity", [one.text for one in found])}
            return Answer.of({**head, **rows[0]}, 201 if created else 200, Preference_Applied="return=representation")
        address = f"{call.root}{table.set_name}({record.id if key is None or key.id else key.text})"
        return Answer(204, b"", {"OData-EntityId": address})


def _detects(call: Call) -> bool:
    """Tell whether the client turned duplicate detection on (it is suppressed unless the header says false)."""
    return call.headers.get("mscrm.suppressduplicatedetection", "").strip().lower() == "false"


def _check(record: Record, if_match: str | None) -> None:
    if if_match not in (None, "*", f'W/"{record.seq}"'):
        raise ODataError(
            412, "0x80060882", "The version of the existing record doesn't match the RowVersion property provided."
        )
