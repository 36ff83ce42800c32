"""What a person does at the org's screen: ids of its form, defaults filled, deletions cascade, merges re-parent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_sync.emulators.desk import Desk
from crm_sync.emulators.salesforce.derived import derive
from crm_sync.emulators.salesforce.failures import Invalid
from crm_sync.emulators.salesforce.records import Records
from crm_sync.emulators.salesforce.schema import Org


class OrgDesk(Desk):
    """A person's hands on the records of one org; rules for values are not applied."""

    def __init__(self, org: Org, records: Records) -> None:
        super().__init__(org.state)
        self.org, self.records = org, records

    def new_id(self, object: str) -> str:
        """Return a fresh record id."""
        return self.org.new_ids(object)[0]

    def create(self, object: str, values: Mapping[str, Any], associations: Mapping[str, Sequence[str]]) -> str:
        """Create a record with the defaults of its object."""
        defaults = {f.name: f.default for f in self.org.schema.fields(object).values() if f.default is not None}
        stored = {**defaults, **values}
        stored |= derive(self.org, object, {}, stored)
        with self.state.transaction():
            made = super().create(object, stored, associations)
            self.records.tell(object, made, created=True)
        return made

    def edit(self, object: str, id: str, values: Mapping[str, Any], associations: Mapping[str, Sequence[str]]) -> bool:
        """Change values; False if there is no such live record."""
        old = self.state.get(object, id)
        if old is None or old.deleted:
            return False
        changed = {**values, **derive(self.org, object, old.values, values)}
        with self.state.transaction():
            done = super().edit(object, id, changed, associations)
            self.records.tell(object, id, created=False)
        return done

    def delete(self, object: str, id: str) -> bool:
        """Delete a record and what hangs on it. Raises ValueError where the org does not allow it."""
        found = self.state.get(object, id)
        if found is None or found.deleted:
            return False
        try:
            self.records.bin.delete(object, id)
        except Invalid as invalid:
            raise ValueError(invalid.problems[0].message) from None
        return True

    def merge(self, object: str, winner: str, loser: str) -> bool:
        """Merge a record into another; False if one is not live."""
        try:
            self.records.bin.merge(object, winner, [loser])
        except Invalid:
            return False
        return True
