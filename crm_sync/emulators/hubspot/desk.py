"""What a person does at HubSpot's own screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_sync.emulators.desk import Desk
from crm_sync.emulators.hubspot.associations import Associations
from crm_sync.emulators.hubspot.records import Records, new_id
from crm_sync.emulators.hubspot.refusals import Refusal
from crm_sync.emulators.hubspot.sources import SCREEN
from crm_sync.emulators.hubspot.writing import Writer


class HubspotDesk(Desk):
    """A person's hands: values are texts, associations have two directions and a primary (the first one named).

    Values are kept as they are given, so that a portal can be as dirty as real ones. Changing an association does not
    move the record's stamp.
    """

    def __init__(self, records: Records, writer: Writer, associations: Associations) -> None:
        super().__init__(records.state)
        self._records, self._writer, self._associations = records, writer, associations

    def new_id(self, object: str) -> str:
        """Return a fresh record id."""
        return new_id(self.state)

    def create(self, object: str, values: Mapping[str, Any], associations: Mapping[str, Sequence[str]]) -> str:
        """Create a record and return its id."""
        given = {name: value for name, value in self._texts(object, values).items() if value is not None}
        with self.state.transaction():
            record = self._writer.insert(object, given, SCREEN)
            self.associate(object, record.id, associations)
        return record.id

    def edit(self, object: str, id: str, values: Mapping[str, Any], associations: Mapping[str, Sequence[str]]) -> bool:
        """Change values and associations; False if there is no such live record."""
        given = self._texts(object, values)
        with self.state.transaction():
            record = self.state.get(object, id)
            if given:
                if record is None or record.deleted:
                    return False
                self._writer.change(record, given, SCREEN)
            self.associate(object, id, associations)
        return True

    def delete(self, object: str, id: str) -> bool:
        """Move a record to the recycle bin; False if there is no such live record."""
        return self._writer.archive(object, id, SCREEN)

    def restore(self, object: str, id: str) -> bool:
        """Take a record out of the recycle bin; False if it is not there."""
        return self._writer.restore(object, id, SCREEN)

    def merge(self, object: str, winner: str, loser: str) -> bool:
        """Merge two records into a new one; False if one is not live."""
        try:
            self._writer.merge(object, winner, loser, SCREEN)
        except Refusal:
            return False
        return True

    def associate(self, object: str, id: str, associations: Mapping[str, Sequence[str]]) -> None:
        """Replace the associations to each object named; the first becomes primary."""
        for other, ids in associations.items():
            self._associations.replace(object, id, other, ids, SCREEN)

    def _texts(self, object: str, values: Mapping[str, Any]) -> dict[str, str | None]:
        """Return values as HubSpot keeps them; LookupError (a 404 of the control API) for an unknown property."""
        fields = self._records.catalog.fields(object)
        unknown = [name for name in values if name not in fields]
        if unknown:
            raise LookupError(f"{object} has no property {', '.join(unknown)}")
        return {name: _text(value) for name, value in values.items()}


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
