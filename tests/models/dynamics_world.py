"""A plain model of what Dataverse holds: dictionaries, and the rules that clients rely on. It shares no code with it.

Three tables are modelled (accounts, contacts, tasks), leads only as ends of links.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SETS = {"account": "accounts", "contact": "contacts", "task": "tasks"}
IDS = {"account": "accountid", "contact": "contactid", "task": "activityid"}
KEYS = {"account": "accountnumber", "contact": "employeeid"}
PLAIN = {
    "account": ("name", "accountnumber", "numberofemployees"),
    "contact": ("lastname", "jobtitle", "birthdate", "donotemail", "employeeid"),
    "task": ("subject", "percentcomplete"),
}
LOOKUPS = {
    "account": ("primarycontactid", "masterid"),
    "contact": ("parentcustomerid", "masterid"),
    "task": ("regardingobjectid",),
}
LOST = {"statecode": 1, "statuscode": 2, "merged": True}

Pointer = tuple[str, str]
Row = dict[str, Any]


def fresh(table: str) -> Row:
    """Return a row as it is without a value given."""
    row: Row = dict.fromkeys((*PLAIN[table], *LOOKUPS[table]))
    if table == "contact":
        row["donotemail"] = False
    row |= {"statecode": 0, "statuscode": 2 if table == "task" else 1}
    return row if table == "task" else row | {"merged": False}


@dataclass
class World:
    """All rows that are there."""

    rows: dict[str, dict[str, Row]] = field(default_factory=lambda: {table: {} for table in SETS})
    links: set[tuple[str, str]] = field(default_factory=set)

    def by_key(self, table: str, value: str) -> str | None:
        """Return the row that holds a key's value; case does not count."""
        column = KEYS[table]
        for id, row in self.rows[table].items():
            if row[column] is not None and row[column].casefold() == value.casefold():
                return id
        return None

    def clashes(self, table: str, values: Row, id: str | None) -> bool:
        """Tell whether a row with these values would take another's key."""
        value = values.get(KEYS.get(table, ""))
        holder = self.by_key(table, value) if value else None
        return holder is not None and holder != id

    def write(self, table: str, id: str, values: Row) -> None:
        """Create or change a row."""
        row = self.rows[table].setdefault(id, fresh(table))
        row.update(values)

    def delete(self, table: str, id: str) -> None:
        """Delete a row: tasks that regard it go too, other lookups are cleared, its links are gone."""
        del self.rows[table][id]
        for task in [one for one, row in self.rows["task"].items() if row["regardingobjectid"] == (table, id)]:
            del self.rows["task"][task]
        self._repoint((table, id), None)
        if table == "contact":
            self.links = {link for link in self.links if link[0] != id}

    def merge(self, table: str, winner: str, loser: str, content: Row) -> None:
        """Merge a row into another."""
        self.rows[table][winner].update(content)
        self._repoint((table, loser), (table, winner))
        if table == "contact":
            self.links = {(winner if contact == loser else contact, lead) for contact, lead in self.links}
        self.rows[table][loser].update({**LOST, "masterid": (table, winner)})

    def _repoint(self, old: Pointer, new: Pointer | None) -> None:
        for table, rows in self.rows.items():
            for row in rows.values():
                for name in LOOKUPS[table]:
                    if row[name] == old:
                        row[name] = new


def shown(table: str, row: dict[str, Any]) -> Row:
    """Return a row that the API showed as the model has it."""
    kind = "_{}_value@Microsoft.Dynamics.CRM.lookuplogicalname"
    out: Row = {name: row[name] for name in PLAIN[table]}
    for name in LOOKUPS[table]:
        id = row[f"_{name}_value"]
        out[name] = None if id is None else (row[kind.format(name)], id)
    out |= {name: row[name] for name in fresh(table) if name not in out}
    return out
