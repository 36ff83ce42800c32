"""Write rows: insert, update, remove, link, with all that Dataverse does by itself on the way.

Deleting a row deletes its notes, parties and regarding activities, and clears the other lookups that point to it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar
from typing import Any, Final
from uuid import uuid4

from crm_sync.emulators.dynamics.changes import Bodies, Change
from crm_sync.emulators.dynamics.keys import Keys
from crm_sync.emulators.dynamics.protocol import ODataError, Unsupported, no_row, payload_error
from crm_sync.emulators.dynamics.tables import ManyToMany, OneToMany, Table, Tables
from crm_sync.emulators.dynamics.troubles import Troubles
from crm_sync.emulators.state import Duplicate, Record, State

acting: ContextVar[str | None] = ContextVar("acting", default=None)
"""The user whom the present request impersonates."""

BY_ITSELF: Final = frozenset({"createdby", "modifiedby", "ownerid", "owninguser", "owningbusinessunit"})
"""Lookups that deleting a row never clears: users and business units are not deleted."""

STATES: Final = ("statecode", "statuscode")
"""Columns that are never empty: null stands for what they have, or get by themselves."""

Tell = Callable[[str, Record, Record | None, Collection[str]], None]


class Writer:
    """Writes of one environment.

    `tell` hears of each: (message, the row now, the row before, the columns written).
    """

    def __init__(self, state: State, tables: Tables, bodies: Bodies, keys: Keys, troubles: Troubles) -> None:
        self._state = state
        self._tables = tables
        self._bodies = bodies
        self._keys = keys
        self._troubles = troubles
        self.tell: Tell = _nobody

    def insert(self, table: Table, change: Change, *, detect: bool = False) -> Record:
        """Create a row with its related rows; all or nothing. Raises ODataError."""
        with self._state.transaction():
            id = change.id or str(uuid4())
            self._troubles.strike(table, id)
            for column, other, inner in change.parents:
                change.point(column, other.logical, self.insert(other, inner).id)
            values = self._completed(table, change)
            if detect:
                self._troubles.detect(table, values, None)
            record = self._stored(table, id, values, change.created_us)
            self._related(table, record, change)
            self.tell("Create", record, None, record.values)
            return self._automated(table, record)

    def update(self, table: Table, record: Record, change: Change, *, detect: bool = False) -> Record:
        """Change a row. Raises ODataError."""
        with self._state.transaction():
            self._troubles.strike(table, record.id)
            values = {name: value for name, value in change.values.items() if value is not None or name not in STATES}
            if any(name in values for name in STATES):
                values = self._state_change(table, record, values)
            values = {**values, **self._touched(table, {**record.values, **values}, record)}
            if detect:
                self._troubles.detect(table, values, record.id)
            updated = self._changed(table, record.id, values)
            self._related(table, updated, change)
            self.tell("Update", updated, record, values)
            return self._automated(table, updated)

    def remove(self, table: Table, id: str) -> bool:
        """Delete a row and what goes with it; False if there is none. Raises ODataError."""
        if table.logical == "systemuser":
            raise Unsupported("deleting a user, which Dataverse only disables")
        with self._state.transaction():
            self._troubles.strike(table, id)
            gone = self._state.delete(table.logical, id)
            if gone is None:
                return False
            self.tell("Delete", gone, gone, ())
            for link in self._tables.collections(table.logical).values():
                if isinstance(link, ManyToMany):
                    self._unlink_all(table, id, link)
                elif link.column.logical not in BY_ITSELF:
                    self._let_go(table, id, link)
        return True

    def repoint(self, table: Table, id: str, other_id: str) -> None:
        """Let everything that points to a row, or is linked with it, go to another row of its table."""
        for link in self._tables.collections(table.logical).values():
            if isinstance(link, ManyToMany):
                for other in self._linked(table, id, link):
                    self.link(table, other_id, link, other)
                self._unlink_all(table, id, link)
            elif link.column.logical not in BY_ITSELF:
                for record in self.pointing(table, id, link):
                    self._state.update(link.referencing, record.id, {link.column.logical: other_id})

    def pointing(self, table: Table, id: str, link: OneToMany) -> list[Record]:
        """Return the rows that point to a row through a lookup."""
        kind = link.column.points_to("record", table.logical)
        where = f"record.object = '{link.referencing}' AND {link.column.at()} = ? AND {kind}"
        return self._state.scan(link.referencing, where=where, params=(id,))

    # -- links

    def link(self, table: Table, id: str, link: ManyToMany, other_id: str) -> None:
        """Link two rows; linking them again changes nothing."""
        other = link.other(table.logical)
        self._state.associate([(table.logical, id, other, other_id, 0), (other, other_id, table.logical, id, 0)])

    def unlink(self, table: Table, id: str, link: ManyToMany, other_id: str) -> bool:
        """Take a link away; False if there is none."""
        other = link.other(table.logical)
        return bool(
            self._state.dissociate(
                [(table.logical, id, other, other_id, None), (other, other_id, table.logical, id, None)]
            )
        )

    def _linked(self, table: Table, id: str, link: ManyToMany) -> list[str]:
        found = self._state.associations(table.logical, [id], link.other(table.logical))
        return [other for other, _ in found.get(id, [])]

    def _unlink_all(self, table: Table, id: str, link: ManyToMany) -> None:
        for other in self._linked(table, id, link):
            self.unlink(table, id, link, other)

    def _let_go(self, table: Table, id: str, link: OneToMany) -> None:
        child = self._tables.table(link.referencing)
        for record in self.pointing(table, id, link):
            if link.column.declaration.extra.get("on_delete") == "Cascade":
                self.remove(child, record.id)
            else:
                self._state.update(child.logical, record.id, {link.column.logical: None})

    def _related(self, table: Table, record: Record, change: Change) -> None:
        for collection, other, rows in change.children:
            if isinstance(collection, OneToMany):
                if collection.schema_name.endswith("_activity_parties"):
                    for old in self.pointing(table, record.id, collection):
                        self._state.delete(other.logical, old.id)
                for body in rows:
                    inner = self._bodies.read(other, body, creating=True)
                    inner.point(collection.column, table.logical, record.id)
                    self.insert(other, inner)
            else:
                for body in rows:
                    made = self.insert(other, self._bodies.read(other, body, creating=True))
                    self.link(table, record.id, collection, made.id)
        for collection, logical, id in change.links:
            self.attach(table, record.id, collection, self._tables.table(logical), id)

    def attach(self, table: Table, id: str, collection: OneToMany | ManyToMany, other: Table, other_id: str) -> None:
        """Put an existing row into a collection of a row. Raises ODataError for a row of another table."""
        far = collection.referencing if isinstance(collection, OneToMany) else collection.other(table.logical)
        if far != other.logical:
            raise payload_error(f"A row of {far} was expected in {collection.schema_name}, not of {other.logical}.")
        if isinstance(collection, ManyToMany):
            self.link(table, id, collection, other_id)
            return
        child = self._state.get(other.logical, other_id)
        if child is None or child.deleted:
            raise no_row(other.logical, other_id)
        inner = Change()
        inner.point(collection.column, table.logical, id)
        self.update(other, child, inner)

    # -- what Dataverse fills in

    def _completed(self, table: Table, change: Change) -> dict[str, Any]:
        values = dict(table.defaults)
        values |= {name: value for name, value in change.values.items() if value is not None or name not in STATES}
        for name in table.required:
            if values.get(name) is None:
                raise ODataError(400, "0x80040200", f"The required field '{name}' of {table.logical} is missing.")
        if "statuscode" in values and "statecode" in values:
            values["statecode"] = self._state_of(table, values)
        if table.logical == "incident" and not values.get("ticketnumber"):
            number = 999 + self._state.next_number("ticketnumber")
            values["ticketnumber"] = f"CAS-{number:05d}-{uuid4().hex[:6].upper()}"
        who = acting.get()
        if who is not None:
            values["createdby"] = who
            values.setdefault("ownerid", who)
        return {**values, **self._touched(table, values, None)}

    def _touched(self, table: Table, values: Mapping[str, Any], before: Record | None) -> dict[str, Any]:
        """Return what follows from a row's values: currency, file size, who changed it, the values of its keys."""
        out = self._keys.filled(table.logical, values)
        who = acting.get()
        if who is not None:
            out["modifiedby"] = who
        if not values.get("transactioncurrencyid") and any(values.get(name) is not None for name in table.money):
            out["transactioncurrencyid"] = self._tables.currency
        if table.logical == "annotation" and (before is None or before.values.get("documentbody") != _body(values)):
            out |= _document(values)
        return out

    def _state_of(self, table: Table, values: Mapping[str, Any]) -> int:
        state_of = table.column("statuscode").declaration.extra["state_of"]
        its_state: int = state_of[str(values["statuscode"])]
        if its_state != values["statecode"]:
            raise _no_transition(values["statuscode"], values["statecode"])
        return its_state

    def _state_change(self, table: Table, record: Record, values: Mapping[str, Any]) -> dict[str, Any]:
        """Keep statecode and statuscode in step: the status decides, a state alone takes its first status."""
        state_of = table.column("statuscode").declaration.extra["state_of"]
        status, state = values.get("statuscode"), values.get("statecode")
        present = table.column("statecode").read(record)
        if status is None:
            wanted = present if state is None else state
            status = next(int(one) for one, its in state_of.items() if its == wanted)
        its_state = state_of[str(status)]
        if state is not None and state != its_state:
            raise _no_transition(status, state)
        if table.logical == "incident" and its_state == 1 and present != 1:
            raise ODataError(
                400,
                "0x80040203",
                "This message can not be used to set the state of incident to Resolved. In order to set state of "
                "incident to Resolved, use the CloseIncidentRequest message instead.",
            )
        return {**values, "statecode": its_state, "statuscode": status}

    # -- the state itself

    def _stored(self, table: Table, id: str, values: Mapping[str, Any], created_us: int | None) -> Record:
        old = self._state.get(table.logical, id)
        if old is not None and old.deleted:
            self._state.purge(table.logical, id)
        try:
            modified = self._state.now_us()
            return self._state.insert(table.logical, id, values, created_us=created_us, modified_us=modified)
        except Duplicate as error:
            raise duplicate_key(error) from None

    def _changed(self, table: Table, id: str, values: Mapping[str, Any]) -> Record:
        try:
            updated = self._state.update(table.logical, id, values)
        except Duplicate as error:
            raise duplicate_key(error) from None
        if updated is None:
            raise no_row(table.logical, id)
        return updated

    def close(self, table: Table, record: Record, values: Mapping[str, Any]) -> Record:
        """Change a row as a message of its own does (Merge, CloseIncident), past the rules for updates."""
        updated = self._changed(table, record.id, values)
        self.tell("Update", updated, record, values)
        return updated

    def _automated(self, table: Table, record: Record) -> Record:
        values = self._troubles.automation(table, record.id)
        if not values:
            return record
        after = self._changed(table, record.id, values)
        self.tell("Update", after, record, values)
        return after


def duplicate_key(error: Duplicate) -> ODataError:
    """Return the refusal of a row whose id or key is taken."""
    if error.field == "id":
        return ODataError(412, "0x80040237", "Cannot insert duplicate key.")
    field = error.field.removeprefix("@key:")
    return ODataError(
        412,
        "0x80060892",
        (
            f"Entity Key violated. A record with the same value for {field} already exists. A duplicate "
            "record cannot be created. Select one or more unique values and try again."
        ),
    )


def _no_transition(status: int, state: int) -> ODataError:
    return ODataError(400, "0x80048408", f"{status} is not a valid status code for state code {state}.")


def _nobody(message: str, record: Record, before: Record | None, names: Collection[str]) -> None:
    """Hear of a write where nobody listens."""


def _body(values: Mapping[str, Any]) -> Any:
    return values.get("documentbody")


def _document(values: Mapping[str, Any]) -> dict[str, Any]:
    body = values.get("documentbody")
    if body is None:
        return {"filesize": None}
    try:
        size = len(base64.b64decode(body, validate=True))
    except (binascii.Error, ValueError):
        raise payload_error("The documentbody is not base64.") from None
    return {"filesize": size, "isdocument": True}
