"""Records: how they look, and writing one of them by HubSpot's rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_sync.emulators.hubspot.associations import Associations
from crm_sync.emulators.hubspot.properties import Properties, instant
from crm_sync.emulators.hubspot.refusals import Refusal, bad_values, invalid, not_found, problem, refusal
from crm_sync.emulators.state import Duplicate, Record, State

FIRST_ID = 100_000_000_000
"""Record ids are numbers that clients must not count on to be small; all of one length, so text order is theirs."""

NUMBER = "CAST(id AS INTEGER)"
"""The SQL of a record id as the number that it is; an index of `prepare` serves it."""


def prepare(state: State) -> None:
    """Index what lists and searches walk along, and hold e-mail addresses unique."""
    with state.transaction() as db:
        db.execute(f"CREATE INDEX IF NOT EXISTS record_by_number ON record (object, {NUMBER})")
    state.declare_unique("contacts", "email", fold=True)


def new_id(state: State) -> str:
    """Return a fresh record id."""
    return str(FIRST_ID + state.next_number("hubspot-id"))


class Records:
    """The records of the portal."""

    def __init__(self, state: State, properties: Properties, associations: Associations) -> None:
        self.state = state
        self.properties = properties
        self.associations = associations

    # -- how a record looks

    def show(
        self, record: Record, names: Sequence[str] | None = None, inline: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return a record as HubSpot shows it: the named properties (None: the default ones) and the technical ones."""
        extra = self.properties.object(record.object).extra
        fields = self.properties.fields(record.object)
        created, modified = instant(record.created_us), instant(record.modified_us)
        technical = {"createdate": created, "hs_object_id": record.id, extra["stamp"]: modified}
        shown: dict[str, Any] = dict(technical)
        for name in names if names else extra["primary_properties"]:
            if name not in technical and name in fields:
                shown[name] = record.values.get(name)
        out: dict[str, Any] = {
            "id": record.id,
            "properties": shown,
            "createdAt": created,
            "updatedAt": modified,
            "archived": record.deleted,
        }
        if record.deleted:
            out["archivedAt"] = modified
        if inline:
            out["associations"] = dict(inline)
        return out

    def find(self, object: str, id: str, *, id_property: str | None = None, archived: bool = False) -> Record:
        """Return one record by id or unique property, merged ones by the record they went into; 404 where none."""
        if id_property is not None:
            self.check_id_property(object, id_property)
            found = self.state.find_unique(object, id_property, id)
            if found is None or archived:
                raise not_found("0")
            return found
        record = self.state.get(object, id)
        while record is not None and record.merged_into is not None:
            record = self.state.get(object, record.merged_into)
        if record is None or record.deleted != archived:
            raise not_found(id)
        return record

    def check_id_property(self, object: str, name: str) -> None:
        """Refuse an idProperty that is not unique."""
        if name not in self.state.unique_fields(object):
            raise invalid(f"Unable to perform the operation by the non-unique property {name} of {object}.")

    # -- writing one record (callers hold the transaction)

    def create(self, object: str, given: Mapping[str, Any]) -> Record:
        """Create a record from {"properties", "associations"}."""
        sent = _properties_of(given)
        kept, problems = self.properties.convert(object, sent, {})
        if problems:
            raise bad_values(problems)
        self._require(object, kept)
        with self.state.transaction():
            try:
                record = self.state.insert(object, new_id(self.state), {k: v for k, v in kept.items() if v is not None})
            except Duplicate as error:
                raise self.taken(error) from None
            for one in given.get("associations") or []:
                self._associate(record, one)
        return record

    def _associate(self, record: Record, given: Mapping[str, Any]) -> None:
        to_id, types = str((given.get("to") or {}).get("id") or ""), given.get("types") or []
        if not to_id or not types:
            raise invalid("Each association needs to.id and types.")
        to_object = self.associations.target_of(record.object, types)
        self.associations.relate(record.object, record.id, to_object, to_id, types)

    def _require(self, object: str, kept: Mapping[str, str | None]) -> None:
        extra = self.properties.object(object).extra
        primary = extra["primary_properties"]
        if not any(kept.get(name) for name in primary):
            raise invalid(
                f"Error creating {extra['singular'].upper()}. Some required properties were not set.",
                context={"properties": list(primary)},
            )

    def update(self, record: Record, given: Mapping[str, Any]) -> Record:
        """Change properties of a record."""
        kept, problems = self.properties.convert(record.object, _properties_of(given), record.values)
        if problems:
            raise bad_values(problems)
        try:
            changed = self.state.update(record.object, record.id, kept)
        except Duplicate as error:
            raise self.taken(error) from None
        if changed is None:
            raise not_found(record.id)
        return changed

    def archive(self, object: str, id: str) -> None:
        """Move a record to the recycle bin; what is not there stays so."""
        if self.state.delete(object, id) is not None:
            self.associations.drop_all(object, id)

    def merge(self, object: str, primary_id: str, other_id: str) -> Record:
        """Merge two records into a new one: the primary's values win, both old ids lead to the new record."""
        primary, other = self.find(object, primary_id), self.find(object, other_id)
        if primary.id == other.id:
            raise invalid("Cannot merge a record with itself.")
        values = other.values | {name: value for name, value in primary.values.items() if value is not None}
        merged_before = [str(one.values.get("hs_merged_object_ids") or "") for one in (primary, other)]
        values["hs_merged_object_ids"] = ";".join(x for x in [*merged_before, primary.id, other.id] if x)
        with self.state.transaction():
            id = new_id(self.state)
            for loser in (primary, other):
                self.state.delete(object, loser.id, merged_into=id)
            merged = self.state.insert(object, id, values, created_us=min(primary.created_us, other.created_us))
            merged = self.state.update(object, id, {}) or merged
            self.associations.move(object, [primary.id, other.id], id)
        return merged

    def taken(self, error: Duplicate) -> Refusal:
        """Word a unique value that another record has: 409 for an e-mail address, 400 for other properties."""
        if error.field == "email":
            return refusal(409, "CONFLICT", f"Contact already exists. Existing ID: {error.id}")
        said = f"The value of the property {error.field} is held by the record {error.id} already."
        return bad_values([problem(error.field, "CONFLICTING_UNIQUE_VALUE", said)])


def _properties_of(given: Mapping[str, Any]) -> Mapping[str, Any]:
    sent = given.get("properties")
    if not isinstance(sent, Mapping):
        raise invalid("Invalid input JSON: properties must be an object.")
    return sent
