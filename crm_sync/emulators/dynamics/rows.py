"""Create, change and delete rows, with preconditions and by alternate key.

Deleting a row clears the lookups that point to it (the relationship behaviour "remove link").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from crm_sync.emulators.dynamics.addressing import Addresses, RowKey
from crm_sync.emulators.dynamics.annotations import Annotator, context
from crm_sync.emulators.dynamics.protocol import SERVICE_PATH, Answer, Call, ODataError, payload_error
from crm_sync.emulators.dynamics.queries import select
from crm_sync.emulators.dynamics.tables import Table, Tables, incoming
from crm_sync.emulators.state import Duplicate, Record, State, field_sql


@dataclass(slots=True)
class Change:
    """A request body, checked: stored values, and the id where the client chose one."""

    values: dict[str, Any] = field(default_factory=dict)
    id: str | None = None


class Rows:
    """Writes of one environment."""

    def __init__(self, state: State, tables: Tables, addresses: Addresses, url: str) -> None:
        self._state = state
        self._tables = tables
        self._addresses = addresses
        self._root = url + SERVICE_PATH
        self._annotator = Annotator(state, tables)

    def create(self, call: Call, table: Table) -> Answer:
        """POST to a set."""
        record = self.insert(table, self.change(table, call.json(), creating=True))
        return self._written(call, table, record, created=True)

    def upsert(self, call: Call, table: Table, key: RowKey) -> Answer:
        """PATCH a row: change it or, unless forbidden by If-Match, create it."""
        if_match, if_none_match = call.header("if-match"), call.header("if-none-match")
        record = self._addresses.find(table, key)
        if record is None and if_match is not None:
            record = self._addresses.existing(table, key)
        if record is None:
            change = self.change(table, call.json(), creating=True)
            if key.column is not None:
                change.values.setdefault(key.column.logical, key.value)
            change.id = key.id or change.id
            return self._written(call, table, self.insert(table, change), created=True, key=key)
        if if_none_match == "*":
            raise ODataError(412, "0x80040237", "A record with matching key values already exists.")
        self._check(record, if_match)
        change = self.change(table, call.json(), creating=False)
        if change.id not in (None, record.id):
            raise payload_error(f"The id in the body is not that of {table.logical} {record.id}.")
        if key.column is not None:
            change.values.pop(key.column.logical, None)
        return self._written(call, table, self.update(table, record, change), created=False, key=key)

    def delete(self, call: Call, table: Table, key: RowKey) -> Answer:
        """DELETE a row."""
        record = self._addresses.existing(table, key)
        self._check(record, call.header("if-match"))
        self.remove(table, record.id)
        return Answer()

    def link(self, call: Call, table: Table, key: RowKey, navigation: str) -> Answer:
        """PUT or DELETE contacts(g)/parentcustomerid_account/$ref."""
        found = table.navigation.get(navigation)
        if found is None:
            raise ODataError(404, "0x80060888", f"Resource not found for the segment '{navigation}'.")
        record = self._addresses.existing(table, key)
        if call.method == "PUT":
            body: dict[str, Any] = {f"{navigation}@odata.bind": call.json().get("@odata.id")}
            if body[f"{navigation}@odata.bind"] is None:
                raise payload_error("The body must name the row to link in @odata.id.")
        else:
            body = {f"{navigation}@odata.bind": None}
        self.update(table, record, self.change(table, body, creating=False))
        return Answer()

    # -- the writes themselves, also for bulk actions and for a person's hands

    def insert(self, table: Table, change: Change) -> Record:
        """Create a row."""
        defaults = {
            one.logical: one.declaration.default
            for one in table.columns.values()
            if one.declaration.default is not None
        }
        id = change.id or str(uuid4())
        try:
            old = self._state.get(table.logical, id)
            if old is not None and old.deleted:
                self._state.purge(table.logical, id)
            return self._state.insert(table.logical, id, {**defaults, **change.values})
        except Duplicate as error:
            raise self._duplicate(table, error) from None

    def update(self, table: Table, record: Record, change: Change) -> Record:
        """Change a row."""
        values = change.values
        if "statecode" in values or "statuscode" in values:
            values = self._state_change(table, record, values)
        try:
            updated = self._state.update(table.logical, record.id, values)
        except Duplicate as error:
            raise self._duplicate(table, error) from None
        assert updated is not None
        return updated

    def remove(self, table: Table, id: str) -> bool:
        """Delete a row and clear what points to it; False if there is none."""
        with self._state.transaction():
            if self._state.delete(table.logical, id) is None:
                return False
            self.repoint(table, id, None)
        return True

    def repoint(self, table: Table, id: str, other_id: str | None) -> None:
        """Let every lookup that points to a row point to another, or to none."""
        for logical in self._tables.names:
            other = self._tables.table(logical)
            for lookup in {nav[0].logical: nav[0] for nav in other.navigation.values()}.values():
                pointing = f"{field_sql(lookup.logical)} = ?"
                for record in self._state.scan(logical, where=pointing, params=(id,)):
                    if self._tables.target(record, lookup) == table.logical:
                        self._state.update(logical, record.id, {lookup.logical: other_id})

    def change(self, table: Table, body: Mapping[str, Any], *, creating: bool) -> Change:
        """Check a request body. Raises ODataError."""
        out = Change()
        navigation = table.navigation
        for name, value in body.items():
            if name.endswith("@odata.bind"):
                found = navigation.get(name.removesuffix("@odata.bind"))
                if found is None:
                    raise payload_error(
                        f"An undeclared property '{name.removesuffix('@odata.bind')}' which only has property "
                        "annotations in the payload but no property value was found in the payload."
                    )
                column, target = found
                out.values[column.logical] = None if value is None else self._addresses.target(value, target)
                first = next(iter(column.targets.values()))
                out.values[f"{column.logical}@type"] = None if value is None or target == first else target
                if column.declaration.read_only:
                    raise _read_only(table, column.logical)
                continue
            if "@" in name:
                continue
            column_ = table.columns.get(name)
            if column_ is None or name.endswith("_value"):
                raise payload_error(
                    f"Invalid property '{name}' was found in entity 'Microsoft.Dynamics.CRM.{table.logical}'."
                )
            stored = incoming(table, column_, value)
            if name == table.id:
                out.id = stored
            elif column_.declaration.read_only or (creating and name == "statecode" and stored != 0):
                raise _read_only(table, name)
            else:
                out.values[name] = stored
        return out

    def _check(self, record: Record, if_match: str | None) -> None:
        if if_match not in (None, "*", f'W/"{record.seq}"'):
            raise ODataError(
                412, "0x80060882", "The version of the existing record doesn't match the RowVersion property provided."
            )

    def _state_change(self, table: Table, record: Record, values: dict[str, Any]) -> dict[str, Any]:
        """Keep statecode and statuscode in step: the status decides, a state alone takes its first status."""
        state_of = table.column("statuscode").declaration.extra["state_of"]
        status = values.get("statuscode")
        state = values.get("statecode")
        if status is None:
            wanted = self._tables.value(record, table.column("statecode")) if state is None else state
            status = next(int(one) for one, its in state_of.items() if its == wanted)
        its_state = state_of[str(status)]
        if state is not None and state != its_state:
            raise ODataError(400, "0x80048408", f"{status} is not a valid status code for state code {state}.")
        return {**values, "statecode": its_state, "statuscode": status}

    def _duplicate(self, table: Table, error: Duplicate) -> ODataError:
        if error.field == "id":
            return ODataError(412, "0x80040237", "Cannot insert duplicate key.")
        return ODataError(
            412,
            "0x80060892",
            (
                f"Entity Key violated. A record with the same value for {error.field} already exists. A duplicate "
                "record cannot be created. Select one or more unique values and try again."
            ),
        )

    def _written(self, call: Call, table: Table, record: Record, *, created: bool, key: RowKey | None = None) -> Answer:
        if call.preferences().get("return") == "representation":
            chosen = call.options().get("$select")
            row = self._annotator.rows(
                table, select(table, chosen), [record], call.preferences().get("odata.include-annotations")
            )[0]
            head = {"@odata.context": context(self._root, table, chosen, "/$entity")}
            return Answer.of({**head, **row}, 201 if created else 200, Preference_Applied="return=representation")
        address = f"{self._root}{table.set_name}({record.id if key is None or key.id else key.text})"
        return Answer(204, b"", {"OData-EntityId": address})


def _read_only(table: Table, name: str) -> ODataError:
    return ODataError(
        400, "0x80040203", f"The attribute '{name}' of the entity '{table.logical}' is not valid for this operation."
    )
