"""Write one record by HubSpot's rules: required properties, unique values, merge, recycle bin, GDPR delete.

Faults that strike here: row_lock, duplicate_rule, late_commit, automation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.hubspot.associations import Associations
from crm_sync.emulators.hubspot.bodies import listed, mapping, mappings
from crm_sync.emulators.hubspot.events import Events
from crm_sync.emulators.hubspot.former import Former
from crm_sync.emulators.hubspot.identity import ADDITIONAL, CONTACTS, addresses
from crm_sync.emulators.hubspot.late import Late
from crm_sync.emulators.hubspot.pipelines import Pipelines
from crm_sync.emulators.hubspot.properties import Properties
from crm_sync.emulators.hubspot.records import Records, new_id
from crm_sync.emulators.hubspot.refusals import (
    Refusal,
    bad_values,
    invalid,
    locked,
    not_found,
    problem,
    refusal,
)
from crm_sync.emulators.hubspot.sources import API, MERGE, WORKFLOW, Source
from crm_sync.emulators.state import Duplicate, Record

MERGED = "hs_merged_object_ids"


class Writer:
    """Everything that changes records. Methods open a transaction of their own where none runs."""

    def __init__(
        self, records: Records, properties: Properties, associations: Associations, pipelines: Pipelines,
        events: Events, late: Late, former: Former, faults: Faults,
    ) -> None:  # fmt: skip
        self._records, self._properties, self._associations = records, properties, associations
        self._pipelines, self._events, self._late, self._faults = pipelines, events, late, faults
        self._state, self._identity, self._former = records.state, records.identity, former

    # -- what clients do

    def create(self, object: str, given: Mapping[str, Any]) -> Record:
        """Create a record from {"properties", "associations"}."""
        kept, problems = self._properties.convert(object, properties_of(given), {})
        if problems:
            raise bad_values(problems)
        values = {name: value for name, value in kept.items() if value is not None}
        self._pipelines.complete(object, values, {})
        self._require(object, values)
        self._strike(object, "")
        if self._faults.strike("duplicate_rule", object=object):
            raise self._taken(Duplicate(object, "email", self._any_id(object)), rule=True)
        fault = self._faults.strike("late_commit", object=object)
        delay = fault.seconds if fault else 0.0
        with self._state.transaction():
            record = self.insert(object, values, API, delay_seconds=delay)
            for one in mappings(given, "associations"):
                self._associate(record, one)
            if fault is not None:
                self._late.hold_new(record, delay)
            else:
                self._automate(record)
        return record

    def update(self, record: Record, given: Mapping[str, Any]) -> Record:
        """Change properties of a record."""
        kept, problems = self._properties.convert(record.object, properties_of(given), record.values)
        if problems:
            raise bad_values(problems)
        self._pipelines.complete(record.object, kept, record.values)
        self._strike(record.object, record.id)
        fault = self._faults.strike("late_commit", object=record.object, target=record.id)
        delay = fault.seconds if fault else 0.0
        with self._state.transaction():
            changed = self.change(record, kept, API, delay_seconds=delay)
            if fault is not None:
                self._late.hold_change(record, changed, kept, delay)
            else:
                self._automate(changed)
        return changed

    def archive(self, object: str, id: str, source: Source = API) -> bool:
        """Move a record to the recycle bin; what is not there stays so (False)."""
        if source is API:
            self._strike(object, id)
        with self._state.transaction():
            record = self._state.get(object, id)
            if record is None or self._state.delete(object, id) is None:
                return False
            self._former.keep(record)
            self._identity.release(object, id)
            self._associations.drop_all(object, id)
            self._events.deletion(object, id, source)
        return True

    def restore(self, object: str, id: str, source: Source) -> bool:
        """Take a record out of the recycle bin; False if it is not there. Raises Duplicate."""
        record = self._state.get(object, id)
        if record is None or not record.deleted or record.merged_into is not None:
            return False
        with self._state.transaction():
            self._state.purge(object, id)
            self._state.insert(object, id, record.values, created_us=record.created_us, modified_us=self._now())
            self._identity.claim(object, id, record.values)
            self._events.restore(object, id, source)
        return True

    def merge(self, object: str, primary_id: str, other_id: str, source: Source = MERGE) -> Record:
        """Merge two records into a new one: the primary's values win, both old ids lead to the new record.

        Source: changelog "Updated merge functionality"; hs_merged_object_ids holds both old ids.
        """
        primary, other = self._records.find(object, primary_id), self._records.find(object, other_id)
        if primary.id == other.id:
            raise invalid("Cannot merge a record with itself.")
        if self._records.catalog.traits(object).get("engagement"):
            raise invalid(f"Records of the object {object} cannot be merged.")
        given = {name: value for name, value in primary.values.items() if value is not None}
        values = {**other.values, **given}
        values[MERGED] = ";".join(
            one for one in [*(str(x.values.get(MERGED) or "") for x in (primary, other)), primary.id, other.id] if one
        )
        now = self._now()
        if object == CONTACTS:
            self._merge_identity(values, primary, other, now)
        elif object == "companies":
            self._join(values, primary, other, "domain", "hs_additional_domains")
        with self._state.transaction():
            id = new_id(self._state)
            for loser in (primary, other):
                self._identity.release(object, loser.id)
                self._former.keep(loser)
                self._state.delete(object, loser.id, merged_into=id)
            created = min(primary.created_us, other.created_us)
            merged = self._state.insert(object, id, values, created_us=created, modified_us=now)
            self._identity.claim(object, id, values)
            self._associations.move(object, [primary.id, other.id], id)
            moved = sum(1 for name in other.values if name not in given)
            self._events.merge(object, primary.id, other.id, id, moved, source)
        return merged

    @staticmethod
    def _join(values: dict[str, Any], primary: Record, other: Record, name: str, additional: str) -> None:
        """Keep the other record's address or domain among the additional ones."""
        known = [*addresses(primary.values.get(additional)), *addresses(other.values.get(additional))]
        known += addresses(other.values.get(name))
        extra = [one for one in dict.fromkeys(known) if one != values.get(name)]
        if extra:
            values[additional] = ";".join(extra)

    @staticmethod
    def _merge_identity(values: dict[str, Any], primary: Record, other: Record, now_us: int) -> None:
        Writer._join(values, primary, other, "email", ADDITIONAL)
        vids = ";".join(f"{one.id}:{now_us // 1000}" for one in (primary, other))
        before = [str(x.values.get("hs_calculated_merged_vids") or "") for x in (primary, other)]
        values["hs_calculated_merged_vids"] = ";".join(one for one in [*before, vids] if one)

    def erase(self, object: str, given: Mapping[str, Any]) -> None:
        """Delete for good by GDPR; an unknown e-mail address is blocked instead. Source: contacts API reference."""
        id, id_property = str(given.get("objectId") or ""), given.get("idProperty")
        if not id:
            raise invalid("Invalid input JSON: objectId is required.")
        record = self._state.get(object, id) if id_property is None else self._records.unique(object, id_property, id)
        while record is not None and record.merged_into is not None:
            record = self._state.get(object, record.merged_into)
        if record is None:
            if id_property != "email":
                raise not_found(id)
            self._identity.block(id)
            return
        with self._state.transaction():
            if not record.deleted:
                self._associations.drop_all(object, record.id)
            self._identity.release(object, record.id)
            self._records.history.forget(object, record.id)
            self._state.purge(object, record.id)
            self._events.erasure(object, record.id, API)

    def contact_of(self, email: str) -> Record | None:
        """Return the live contact of an address."""
        return self._identity.find(email)

    # -- what happens whoever does it

    def insert(self, object: str, values: Mapping[str, Any], source: Source, *, delay_seconds: float = 0.0) -> Record:
        """Insert a record as it is; 409 or 400 for a unique value that is taken."""
        email = values.get("email")
        if object == CONTACTS and email and self._identity.blocked(str(email)):
            raise bad_values([problem("email", "INVALID_EMAIL", f"Email address {email} is on the blocklist")])
        with self._state.transaction():
            id = new_id(self._state)
            try:
                record = self._state.insert(object, id, values)
                self._identity.claim(object, id, values)
            except Duplicate as error:
                raise self._taken(error) from None
            self._events.creation(record, source, delay_seconds)
        return record

    def change(
        self, record: Record, values: Mapping[str, Any], source: Source, *, delay_seconds: float = 0.0,
        modified_us: int | None = None,
    ) -> Record:  # fmt: skip
        """Change values of a record as they are; history and webhooks tell only what differs."""
        differing = {name: value for name, value in values.items() if record.values.get(name) != value}
        with self._state.transaction():
            try:
                changed = self._state.update(record.object, record.id, values, modified_us=modified_us)
                self._identity.claim(record.object, record.id, values)
            except Duplicate as error:
                raise self._taken(error) from None
            if changed is None:
                raise not_found(record.id)
            self._former.keep(record)
            if differing:
                self._records.history.keep(record, differing, changed.modified_us, source)
                self._events.changes(changed, differing, source, delay_seconds)
        return changed

    def _now(self) -> int:
        return self._state.now_us()

    def _strike(self, object: str, id: str) -> None:
        if self._faults.strike("row_lock", object=object, target=id):
            raise locked(self._records.catalog.singular(object), id)

    def _automate(self, record: Record) -> None:
        """Let a workflow change a field just after a write, if one is armed."""
        fault = self._faults.strike("automation", object=record.object, target=record.id)
        if fault is None:
            return
        value = fault.options.get("value")
        later = max(self._now(), record.modified_us + 1000)
        text = None if value is None else str(value)
        self.change(record, {str(fault.options["field"]): text}, WORKFLOW, modified_us=later)

    def _any_id(self, object: str) -> str:
        found = self._state.scan(object, limit=1)
        return found[0].id if found else "0"

    def _associate(self, record: Record, given: Mapping[str, Any]) -> None:
        to_id, types = str(mapping(given, "to").get("id") or ""), listed(given, "types")
        if not to_id or not types:
            raise invalid("Each association needs to.id and types.")
        to_object = self._associations.types.target_of(record.object, types)
        self._associations.relate(record.object, record.id, to_object, to_id, types)

    def _require(self, object: str, kept: Mapping[str, Any]) -> None:
        missing = [
            alternatives
            for alternatives in self._records.catalog.traits(object)["needs"]
            if not any(kept.get(name) for name in alternatives)
        ]
        if missing:
            name = self._records.catalog.singular(object).upper()
            raise invalid(
                f"Error creating {name}. Some required properties were not set.",
                context={"properties": [name for alternatives in missing for name in alternatives]},
            )

    def _taken(self, error: Duplicate, *, rule: bool = False) -> Refusal:
        """Word a unique value that another record has: 409 for an e-mail address, 400 for other properties."""
        if error.field == "email" or rule:
            name = self._records.catalog.singular(error.object).capitalize()
            return refusal(409, "CONFLICT", f"{name} already exists. Existing ID: {error.id}")
        said = f"The value of the property {error.field} is held by the record {error.id} already."
        return bad_values([problem(error.field, "CONFLICTING_UNIQUE_VALUE", said)])


def properties_of(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the properties of a request or of an input of a batch; 400 where there are none."""
    sent = given.get("properties")
    if not isinstance(sent, Mapping):
        raise invalid("Invalid input JSON: properties must be an object.")
    return sent
