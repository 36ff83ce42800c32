"""What a person does at the CRM's own screen: create, edit, delete; stamps and versions move as usual.

Each CRM's `build` sets `app.state.desk` to its own subclass where a person's edit does more than merge values (computed
fields, stamps kept as properties, ids of its own form, both directions of an association).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from crm_sync.emulators.reading import RAW
from crm_sync.emulators.state import Record, State, field_sql


class Desk:
    """A person's hands on the records of one CRM."""

    def __init__(self, state: State) -> None:
        self.state = state

    def new_id(self, object: str) -> str:
        """Return a fresh record id in the CRM's form."""
        return str(self.state.next_number(f"id:{object}"))

    def create(self, object: str, values: Mapping[str, Any], associations: Mapping[str, Sequence[str]]) -> str:
        """Create a record and return its id; `associations` is other object -> ids."""
        with self.state.transaction():
            id = self.new_id(object)
            self.state.insert(object, id, values)
            self.associate(object, id, associations)
        return id

    def edit(self, object: str, id: str, values: Mapping[str, Any], associations: Mapping[str, Sequence[str]]) -> bool:
        """Change values, and replace the associations to each object named; False if there is no such live record."""
        with self.state.transaction():
            there = self.state.update(object, id, values) if values else self.state.get(object, id)
            if there is None or there.deleted:
                return False
            self.associate(object, id, associations)
        return True

    def delete(self, object: str, id: str) -> bool:
        """Delete a record; False if there is no such live record."""
        return self.state.delete(object, id) is not None

    def merge(self, object: str, winner: str, loser: str) -> bool:
        """Merge a record into another (here: the loser is deleted, with the winner's id); False if one is not live."""
        with self.state.transaction():
            kept = self.state.get(object, winner)
            if kept is None or kept.deleted or winner == loser:
                return False
            return self.state.delete(object, loser, merged_into=winner) is not None

    def associate(self, object: str, id: str, associations: Mapping[str, Sequence[str]]) -> None:
        """Replace the associations to each object named (here: one type, one direction)."""
        for other, ids in associations.items():
            old = self.state.associations(object, [id], other).get(id, [])
            self.state.dissociate([(object, id, other, to_id, type_id) for to_id, type_id in old])
            self.state.associate([(object, id, other, to_id, 0) for to_id in ids])

    def show(self, record: Record) -> dict[str, Any]:
        """Return a record as the control API shows it: values without technical additions."""
        return {
            "id": record.id,
            "values": record.values,
            "created_us": record.created_us,
            "modified_us": record.modified_us,
            "seq": record.seq,
        }

    def live(
        self, object: str, where: str = "", params: Sequence[Any] = (), *, after: str = "", limit: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield live records by id, behind `after`, with associations: other object -> ids, lowest type first.

        `where` and `params` as in State.select. Memory does not grow with the records.
        """
        targets = self.state.association_targets(object)
        chunks = self.state.stream_raw(object, RAW[1:], where=where, params=params, after=after, limit=limit)
        for rows in chunks:
            ids = [row[0] for row in rows]
            linked = {other: self.state.associations(object, ids, other) for other in targets}
            for id, seq, created, modified, deleted, merged_into, doc in rows:
                values = orjson.loads(doc)
                record = Record(object, id, seq, created, modified, bool(deleted), merged_into, values)
                pairs = {other: sorted(all_.get(id, []), key=lambda pair: pair[1]) for other, all_ in linked.items()}
                yield {
                    **self.show(record),
                    "associations": {
                        other: list(dict.fromkeys(to_id for to_id, _ in found))
                        for other, found in pairs.items()
                        if found
                    },
                }

    def find(self, object: str, field: str, value: str) -> list[dict[str, Any]]:
        """Return the live records whose field reads `value` (as text); "id" asks for the record id."""
        column = "id" if field == "id" else f"CAST({field_sql(field)} AS TEXT)"
        return list(self.live(object, f"{column} = ?", [value]))
