"""Route the calls of the Web API: sets, rows, what follows a row's key, functions and actions, definitions, $batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crm_sync.emulators.dynamics.actions import PREFIX, Actions
from crm_sync.emulators.dynamics.addressing import Addresses, Resource, resource
from crm_sync.emulators.dynamics.batches import answer_batch
from crm_sync.emulators.dynamics.changes import Bodies
from crm_sync.emulators.dynamics.declaring import LINKS, declared
from crm_sync.emulators.dynamics.expanding import members
from crm_sync.emulators.dynamics.functions import Functions
from crm_sync.emulators.dynamics.indexes import index_lookups
from crm_sync.emulators.dynamics.keys import Keys
from crm_sync.emulators.dynamics.metadata.csdl import csdl
from crm_sync.emulators.dynamics.metadata.customizing import Customizing
from crm_sync.emulators.dynamics.metadata.definitions import Definitions
from crm_sync.emulators.dynamics.protocol import Answer, Call, ODataError, Unsupported, no_method, no_segment
from crm_sync.emulators.dynamics.queries import Queries
from crm_sync.emulators.dynamics.rows import Rows
from crm_sync.emulators.dynamics.system import install
from crm_sync.emulators.dynamics.tables import Collection, OneToMany, Table, Tables
from crm_sync.emulators.dynamics.troubles import Troubles
from crm_sync.emulators.dynamics.writing import Writer, acting
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.settings import EmulatorSettings
from crm_sync.emulators.state import Record, State


@dataclass(frozen=True, slots=True)
class Place:
    """A row that an address leads to, and what follows it."""

    table: Table
    record: Record
    rest: str


class Service:
    """The Web API."""

    def __init__(self, state: State, faults: Faults, settings: EmulatorSettings) -> None:
        self._state = state
        schema = Customizing(state, declared(settings.declared), fold_unique=True)
        self.tables = Tables(state, schema, LINKS)
        install(state, self.tables, settings)
        index_lookups(state, self.tables)
        self.keys = Keys(state)
        self._addresses = Addresses(state, self.tables, self.keys, settings.url)
        bodies = Bodies(self.tables, self._addresses)
        self.writer = Writer(state, self.tables, bodies, self.keys, Troubles(state, faults))
        self._queries = Queries(state, self.tables, self.keys, faults)
        self._rows = Rows(state, self.tables, self._addresses, bodies, self.writer)
        self.actions = Actions(state, self.tables, self._addresses, bodies, self.writer)
        self._functions = Functions(state, self.tables, settings)
        self._definitions = Definitions(state, schema, self.tables, self.keys)

    def tick(self) -> None:
        """Let the jobs of the environment get on (indexes of keys). Every request ticks once."""
        self.keys.tick()

    def handle(self, call: Call) -> Answer:
        """Answer one call; never raises what it knows."""
        try:
            if call.method == "GET":
                return self._route(call)
            with self._state.transaction():
                token = acting.set(self._acting(call))
                try:
                    return self._route(call)
                finally:
                    acting.reset(token)
        except ODataError as error:
            return error.answer(call)
        except Unsupported as error:
            return error.answer(call)

    def batch(self, call: Call) -> Answer:
        """Answer a $batch."""
        try:
            return answer_batch(call, self._state, self.handle)
        except ODataError as error:
            return error.answer(call)

    def _acting(self, call: Call) -> str | None:
        """Return the user whom a call impersonates. Raises ODataError for one who is not there."""
        for header, column in (("callerobjectid", "azureactivedirectoryobjectid"), ("mscrmcallerid", "systemuserid")):
            given = call.header(header)
            if given is None:
                continue
            users = self.tables.table("systemuser")
            sql = users.column(column).at()
            found = self._state.scan("systemuser", where=f"{sql} = ?", params=(given.lower(),), limit=1)
            if not found:
                raise ODataError(404, "0x80040217", f"systemuser With Id = {given} Does Not Exist")
            return found[0].id
        return None

    def _route(self, call: Call) -> Answer:
        if not call.path:
            return self._service_document(call)
        if call.path == "$metadata":
            return Answer(200, csdl(self.tables).encode(), {"Content-Type": "application/xml"})
        found = resource(call.path)
        if found.name in ("EntityDefinitions", "RelationshipDefinitions", "GlobalOptionSetDefinitions"):
            return self._definitions.answer(call, found)
        if call.method == "GET" and found.name in self._functions.known and not found.rest:
            return self._functions.answer(call, found)
        if call.method == "POST" and found.key is None and not found.rest:
            if found.name in ("PublishXml", "PublishAllXml"):
                return Answer()
            if found.name in self.actions.unbound:
                return self.actions.unbound[found.name](call)
        return self._rows_of(call, found)

    def _rows_of(self, call: Call, found: Resource) -> Answer:
        table = self.tables.by_set(found.name)
        if found.key is not None:
            return self._row(call, table, found)
        if found.rest.startswith(PREFIX):
            return self.actions.multiple(call, table, found.rest.removeprefix(PREFIX))
        if found.rest == "$count" and call.method == "GET":
            return self._queries.count(call, table)
        if found.rest:
            raise no_segment(found.rest)
        if call.method == "GET":
            return self._queries.many(call, table)
        if call.method == "POST":
            return self._rows.create(call, table)
        raise no_method()

    def _row(self, call: Call, table: Table, found: Resource) -> Answer:
        key = self._addresses.row_key(table, found.key or "")
        if call.method == "PATCH" and not found.rest:
            return self._rows.upsert(call, table, key)
        place = self._walk(Place(table, self._addresses.existing(table, key), found.rest))
        if place is None:
            return Answer()
        if place.rest:
            return self._below(call, place)
        if call.method == "GET":
            return self._queries.one(call, place.table, place.record)
        if call.method == "DELETE":
            return self._rows.delete(call, place.table, place.record)
        raise no_method()

    def _walk(self, place: Place) -> Place | None:
        """Follow navigation properties to the last row of an address; None where a lookup on the way is empty."""
        while place.rest:
            name, _, after = place.rest.partition("/")
            below = resource(name)
            collection = self.tables.collections(place.table.logical).get(below.name)
            if below.name in place.table.navigation and after != "$ref":
                column, target = place.table.navigation[below.name]
                id = column.read(place.record)
                if id is None or self.tables.target(place.record, column) != target:
                    return None
                table = self.tables.table(target)
                place = Place(table, self._addresses.existing(table, self._addresses.row_key(table, id)), after)
            elif collection is not None and below.key is not None and after != "$ref":
                table = self._far(place.table, collection)
                row = self._addresses.existing(table, self._addresses.row_key(table, below.key))
                place = Place(table, row, after)
            else:
                break
        return place

    def _far(self, table: Table, collection: Collection) -> Table:
        if isinstance(collection, OneToMany):
            return self.tables.table(collection.referencing)
        return self.tables.table(collection.other(table.logical))

    def _below(self, call: Call, place: Place) -> Answer:
        """Answer what stands behind a row: a collection, a reference, a property."""
        table, record = place.table, place.record
        name, _, last = place.rest.partition("/")
        below = resource(name)
        collection = self.tables.collections(table.logical).get(below.name)
        if last == "$ref" and call.method != "GET":
            return self._rows.link(call, table, record, below.name, below.key)
        if collection is not None:
            return self._collection(call, place, collection, below.name, last)
        if last == "$ref" and below.name in table.navigation:
            return self._reference(call, table, record, below.name)
        if below.name.startswith(PREFIX):
            raise Unsupported(f"the bound action or function {below.name}")
        if last not in ("", "$value"):
            raise no_segment(last)
        column = table.columns.get(below.name)
        if column is None:
            raise no_segment(below.name)
        if call.method == "GET":
            return self._queries.property(call, table, record, column, raw=last == "$value")
        if call.method in ("PUT", "DELETE", "PATCH") and not last:
            return self._rows.property(call, table, record, column)
        raise no_method()

    def _collection(self, call: Call, place: Place, collection: Collection, name: str, last: str) -> Answer:
        far = self._far(place.table, collection)
        within = members(place.table, collection, place.record.id)
        if call.method == "GET":
            if last == "$count":
                return self._queries.count(call, far, within)
            if last == "$ref":
                return self._queries.references(call, far, within)
            if not last:
                return self._queries.many(call, far, within)
        if call.method == "POST" and not last:
            return self._rows.create(call, far, (place.table, place.record, collection))
        if call.method == "PUT" and not last:
            return self._rows.replace(call, place.table, place.record, name)
        raise no_method()

    def _reference(self, call: Call, table: Table, record: Record, name: str) -> Answer:
        column, target = table.navigation[name]
        id = column.read(record)
        if id is None or self.tables.target(record, column) != target:
            return Answer()
        where = f"{call.root}{self.tables.table(target).set_name}({id})"
        return Answer.of({"@odata.context": f"{call.root}$metadata#$ref", "@odata.id": where})

    def _service_document(self, call: Call) -> Answer:
        sets = [self.tables.table(logical).set_name for logical in self.tables.names]
        rows: list[dict[str, Any]] = [{"name": name, "kind": "EntitySet", "url": name} for name in sets]
        return Answer.of({"@odata.context": f"{call.root}$metadata", "value": rows})
