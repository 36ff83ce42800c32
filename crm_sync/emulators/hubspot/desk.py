"""What a person does at HubSpot's own screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_sync.emulators.desk import Desk
from crm_sync.emulators.hubspot.records import Records, new_id


class HubspotDesk(Desk):
    """A person's hands: values are texts, associations have two directions and a primary (the first one named).

    Changing an association does not move the record's stamp.
    """

    def __init__(self, records: Records) -> None:
        super().__init__(records.state)
        self._records = records

    def new_id(self, object: str) -> str:
        """Return a fresh record id."""
        return new_id(self.state)

    def create(self, object: str, values: Mapping[str, Any], associations: Mapping[str, Sequence[str]]) -> str:
        """Create a record and return its id."""
        return super().create(object, self._texts(object, values), associations)

    def edit(self, object: str, id: str, values: Mapping[str, Any], associations: Mapping[str, Sequence[str]]) -> bool:
        """Change values and associations."""
        return super().edit(object, id, self._texts(object, values), associations)

    def delete(self, object: str, id: str) -> bool:
        """Move a record to the recycle bin."""
        with self.state.transaction():
            found = super().delete(object, id)
            if found:
                self._records.associations.drop_all(object, id)
        return found

    def associate(self, object: str, id: str, associations: Mapping[str, Sequence[str]]) -> None:
        """Replace the associations to each object named; the first becomes primary."""
        for other, ids in associations.items():
            self._records.associations.replace(object, id, other, ids)

    def _texts(self, object: str, values: Mapping[str, Any]) -> dict[str, str | None]:
        """Return values as HubSpot keeps them; KeyError (a 404 of the control API) for an unknown property."""
        fields = self._records.properties.fields(object)
        unknown = [name for name in values if name not in fields]
        if unknown:
            raise LookupError(f"{object} has no property {', '.join(unknown)}")
        return {name: _text(value) for name, value in values.items()}


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
