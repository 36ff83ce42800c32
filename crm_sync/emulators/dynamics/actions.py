"""Answer actions: CreateMultiple, UpdateMultiple, UpsertMultiple (on standard tables all rows or none), Merge,
CloseIncident, WinOpportunity, LoseOpportunity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from crm_sync.emulators.dynamics.addressing import Addresses, resource
from crm_sync.emulators.dynamics.changes import Bodies
from crm_sync.emulators.dynamics.protocol import Answer, Call, ODataError, Unsupported, payload_error
from crm_sync.emulators.dynamics.tables import OneToMany, Table, Tables
from crm_sync.emulators.dynamics.writing import Writer
from crm_sync.emulators.state import Record, State

PREFIX: Final = "Microsoft.Dynamics.CRM."
MULTIPLE: Final = ("CreateMultiple", "UpdateMultiple", "UpsertMultiple")
LOST: Final = {
    "account": {"statecode": 1, "statuscode": 2},
    "contact": {"statecode": 1, "statuscode": 2},
    "lead": {"statecode": 2, "statuscode": 7},
    "incident": {"statecode": 2, "statuscode": 2000},
}
"""The tables that can be merged, and what becomes of the loser."""


class Actions:
    """The actions of one environment."""

    def __init__(self, state: State, tables: Tables, addresses: Addresses, bodies: Bodies, writer: Writer) -> None:
        self._state = state
        self._tables = tables
        self._addresses = addresses
        self._bodies = bodies
        self._writer = writer
        self.unbound = {
            "Merge": self._merge,
            "CloseIncident": self._close_incident,
            "WinOpportunity": self._close_opportunity,
            "LoseOpportunity": self._close_opportunity,
        }

    def multiple(self, call: Call, table: Table, action: str) -> Answer:
        """Carry out POST set/Microsoft.Dynamics.CRM.<action>."""
        if call.method != "POST" or action not in MULTIPLE:
            raise Unsupported(f"the action {action}")
        targets = call.json().get("Targets")
        if not isinstance(targets, list):
            raise payload_error("The parameter Targets is missing or not a list.")
        for target in targets:
            if not isinstance(target, dict) or str(target.get("@odata.type")).lstrip("#") != f"{PREFIX}{table.logical}":
                raise payload_error(f"Each of Targets needs the @odata.type {PREFIX}{table.logical}.")
        with self._state.transaction():
            if action == "CreateMultiple":
                ids = [self._writer.insert(table, self._bodies.read(table, one, creating=True)).id for one in targets]
                return Answer.of({"@odata.context": f"{call.root}$metadata#{PREFIX}CreateMultipleResponse", "Ids": ids})
            for one in targets:
                self._write(table, one, create=action == "UpsertMultiple")
        return Answer()

    def _write(self, table: Table, target: dict[str, Any], *, create: bool) -> None:
        address = target.get("@odata.id")
        text = resource(address.removeprefix("/")).key if isinstance(address, str) else target.get(table.id)
        if not isinstance(text, str):
            raise payload_error(f"Each of Targets needs {table.id} or @odata.id.")
        key = self._addresses.row_key(table, text)
        record = self._addresses.find(table, key) if create else self._addresses.existing(table, key)
        change = self._bodies.read(table, target, creating=record is None)
        if record is None:
            for name, value in key.values.items():
                change.values.setdefault(name, value)
            change.id = key.id or change.id
            self._writer.insert(table, change)
            return
        for name in key.values:
            change.values.pop(name, None)
        self._writer.update(table, record, change)

    # -- merging

    def _merge(self, call: Call) -> Answer:
        body = call.json()
        table, winner = self._entity(body.get("Target"), "Target")
        other, loser = self._entity(body.get("Subordinate"), "Subordinate")
        content = body.get("UpdateContent") or {}
        if not isinstance(content, dict):
            raise payload_error("The parameter UpdateContent must be a row.")
        self.join(table, winner, other, loser, content)
        return Answer()

    def join(self, table: Table, winner: Record, other: Table, loser: Record, content: Mapping[str, Any]) -> None:
        """Merge: the loser becomes inactive and points to the winner, what pointed to it moves over."""
        if table.logical != other.logical or winner.id == loser.id:
            raise payload_error("Target and Subordinate must be two rows of one table.")
        if table.logical not in LOST:
            raise ODataError(400, "0x80040203", f"Rows of {table.logical} cannot be merged.")
        if loser.values.get("merged") or winner.values.get("merged"):
            raise ODataError(400, "0x80040203", "A row that was merged into another cannot be merged again.")
        with self._state.transaction():
            given = {name: value for name, value in content.items() if name != table.id}
            change = self._bodies.read(table, given, creating=False)
            self._writer.update(table, winner, change)
            self._writer.repoint(table, loser.id, winner.id)
            self._writer.close(table, loser, {**LOST[table.logical], "merged": True, "masterid": winner.id})

    def _entity(self, given: Any, name: str) -> tuple[Table, Record]:
        kind = str(given.get("@odata.type")) if isinstance(given, dict) else ""
        logical = kind.removeprefix("#").removeprefix(PREFIX)
        if logical not in self._tables.names:
            raise payload_error(f"The parameter {name} needs an @odata.type.")
        table = self._tables.table(logical)
        return table, self._addresses.existing(table, self._addresses.row_key(table, str(given.get(table.id))))

    # -- closing

    def _close_incident(self, call: Call) -> Answer:
        body = call.json()
        resolution = body.get("IncidentResolution")
        if not isinstance(resolution, dict):
            raise payload_error("The parameter IncidentResolution is missing.")
        table = self._tables.table("incidentresolution")
        given = {name: value for name, value in resolution.items() if not name.startswith("@")}
        change = self._bodies.read(table, given, creating=True)
        incident = self._tables.table("incident")
        id = change.values.get("incidentid")
        if id is None:
            raise payload_error("The IncidentResolution needs incidentid@odata.bind.")
        record = self._addresses.existing(incident, self._addresses.row_key(incident, id))
        if incident.column("statecode").read(record) != 0:
            raise ODataError(400, "0x800404CF", "The case has already been resolved or cancelled.")
        self._no_open_children(incident, record)
        status = self._status(incident, body.get("Status", -1), 1)
        with self._state.transaction():
            change.values |= {"statecode": 1, "statuscode": 2}
            self._writer.insert(table, change)
            self._writer.close(incident, record, {"statecode": 1, "statuscode": status})
        return Answer()

    def _no_open_children(self, incident: Table, record: Record) -> None:
        link = self._tables.collections("incident")["incident_parent_incident"]
        assert isinstance(link, OneToMany)
        children = self._writer.pointing(incident, record.id, link)
        if any(incident.column("statecode").read(child) == 0 for child in children):
            raise ODataError(400, "0x8003F452", "The case has open child cases; resolve these first.")

    def _close_opportunity(self, call: Call) -> Answer:
        body = call.json()
        close = body.get("OpportunityClose")
        bound = close.get("opportunityid@odata.bind") if isinstance(close, dict) else None
        if not isinstance(close, dict) or bound is None:
            raise payload_error("The parameter OpportunityClose needs opportunityid@odata.bind.")
        table, record = self._addresses.row(bound)
        if table.logical != "opportunity":
            raise payload_error("The parameter OpportunityClose must bind an opportunity.")
        if table.column("statecode").read(record) != 0:
            raise ODataError(400, "0x8004F854", "The opportunity is closed already.")
        state = 1 if call.path.startswith("Win") else 2
        values = {"statecode": state, "statuscode": self._status(table, body.get("Status", -1), state)}
        if "actualrevenue" in close:
            values["actualvalue"] = close["actualrevenue"]
        self._writer.close(table, record, values)
        return Answer()

    @staticmethod
    def _status(table: Table, given: Any, state: int) -> int:
        """Return the status of a closing; -1 stands for the first of its state."""
        state_of = table.column("statuscode").declaration.extra["state_of"]
        if given == -1:
            return next(int(one) for one, its in state_of.items() if its == state)
        if state_of.get(str(given)) != state:
            raise ODataError(400, "0x80048408", f"{given} is not a valid status code for state code {state}.")
        return int(given)
