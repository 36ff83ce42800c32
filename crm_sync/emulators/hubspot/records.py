"""Records: how they look, and how one is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_sync.emulators.hubspot.catalog import Catalog
from crm_sync.emulators.hubspot.history import History
from crm_sync.emulators.hubspot.identity import CONTACTS, Identity
from crm_sync.emulators.hubspot.properties import instant
from crm_sync.emulators.hubspot.refusals import invalid, not_found
from crm_sync.emulators.state import Record, State

FIRST_ID = 100_000_000_000
"""Record ids are numbers that clients must not count on to be small; all of one length, so text order is theirs."""

NUMBER = "CAST(id AS INTEGER)"
"""The SQL of a record id as the number that it is; an index of `prepare` serves it."""


def prepare(state: State) -> None:
    """Index what lists and searches walk along."""
    with state.transaction() as db:
        db.execute(f"CREATE INDEX IF NOT EXISTS record_by_number ON record (object, {NUMBER})")


def new_id(state: State) -> str:
    """Return a fresh record id."""
    return str(FIRST_ID + state.next_number("hubspot-id"))


class Records:
    """The records of the portal."""

    def __init__(self, state: State, catalog: Catalog, history: History, identity: Identity) -> None:
        self.state, self.catalog, self.history, self.identity = state, catalog, history, identity

    # -- how a record looks

    def show(self, record: Record, names: Sequence[str] | None = None) -> dict[str, Any]:
        """Return a record as HubSpot shows it: the named properties (None: the default ones) and the technical ones."""
        extra = self.catalog.traits(record.object)
        fields = self.catalog.fields(record.object)
        created, modified = instant(record.created_us), instant(record.modified_us)
        shown: dict[str, Any] = {extra["created"]: created, "hs_object_id": record.id, extra["stamp"]: modified}
        values = record.values
        for name in names or extra["primary_properties"]:
            if name not in shown and name in fields and not fields[name].extra.get("archived"):
                shown[name] = values.get(name)
        out: dict[str, Any] = {
            "id": record.id,
            "properties": shown,
            "createdAt": created,
            "updatedAt": modified,
            "archived": record.deleted,
        }
        if record.deleted:
            out["archivedAt"] = modified
        return out

    def show_all(
        self, records: Sequence[Record], names: Sequence[str] | None, historic: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Return records of one object, with the history of some properties where asked."""
        shown = [self.show(one, names) for one in records]
        if historic and records:
            known = [name for name in historic if name in self.catalog.fields(records[0].object)]
            told = self.history.read(records, known)
            for one in shown:
                one["propertiesWithHistory"] = told[one["id"]]
        return shown

    # -- how one is found

    def find(self, object: str, id: str, *, id_property: str | None = None, archived: bool = False) -> Record:
        """Return one record by id or unique property, merged ones by the record they went into; 404 where none."""
        if id_property is not None and id_property != "hs_object_id":
            found = self.unique(object, id_property, id)
            if found is None or archived:
                raise not_found("0")
            return found
        record = self.state.get(object, id)
        while record is not None and record.merged_into is not None:
            record = self.state.get(object, record.merged_into)
        if record is None or record.deleted != archived:
            raise not_found(id)
        return record

    def unique(self, object: str, name: str, value: str) -> Record | None:
        """Return the live record that has a value of a unique property; 400 where the property is not unique."""
        if name not in self.state.unique_fields(object):
            raise invalid(f"Unable to perform the operation by the non-unique property {name} of {object}.")
        if (object, name) == (CONTACTS, "email"):
            return self.identity.find(value)
        return self.state.find_unique(object, name, value)

    def live(self, object: str, given: Mapping[str, Any]) -> Record | None:
        """Return the live record that an input of a batch names by id, or by its idProperty; old merged ids: none."""
        id, id_property = str(given.get("id", "")), given.get("idProperty")
        if id_property is not None and id_property != "hs_object_id":
            return self.unique(object, str(id_property), id)
        record = self.state.get(object, id)
        return None if record is None or record.deleted else record
