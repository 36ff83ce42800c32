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
        db.execute(f"CREATE INDEX IF NOT EXISTS record_archived ON record (object, {NUMBER}) WHERE deleted = 1")
        db.execute(f"CREATE INDEX IF NOT EXISTS record_by_creation ON record (object, created_us, {NUMBER})")


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
        return self._shown(record, *self._shape(record.object, names))

    def _shape(self, object: str, names: Sequence[str] | None) -> tuple[str, str, list[str]]:
        """Return the properties of creation and last change, and those beside them that records show."""
        traits, fields = self.catalog.traits(object), self.catalog.fields(object)
        technical = (traits["created"], traits["stamp"], "hs_object_id")
        asked = names or traits["primary_properties"]
        known = [one for one in asked if one in fields and one not in technical]
        return *technical[:2], [one for one in known if not fields[one].extra.get("archived")]

    @staticmethod
    def _shown(record: Record, created_name: str, stamp_name: str, names: Sequence[str]) -> dict[str, Any]:
        created, modified, values = instant(record.created_us), instant(record.modified_us), record.values
        properties: dict[str, Any] = {created_name: created, "hs_object_id": record.id, stamp_name: modified}
        for name in names:
            properties[name] = values.get(name)
        out: dict[str, Any] = {
            "id": record.id, "properties": properties, "createdAt": created, "updatedAt": modified,
            "archived": record.deleted,
        }  # fmt: skip
        if record.deleted:
            out["archivedAt"] = modified
        return out

    def show_all(
        self, records: Sequence[Record], names: Sequence[str] | None, historic: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Return records of one object, with the history of some properties where asked."""
        if not records:
            return []
        shape = self._shape(records[0].object, names)
        shown = [self._shown(one, *shape) for one in records]
        if historic:
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
