"""Find records by the value of a key field or of a reference, through the indexes that the schema made."""

from __future__ import annotations

from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.reading import doc_sql, stream
from crm_sync.emulators.salesforce.schema import Org


def find_by_key(org: Org, sobject: str, field: FieldDeclaration, value: Any) -> list[str]:
    """Return the ids of the live records that have a value, ignoring case; a few at most."""
    if field.name == "Id":
        parsed = ids.parse(value)
        found = org.state.get(sobject, parsed) if parsed else None
        return [found.id] if found is not None and not found.deleted else []
    try:
        wanted: Any = float(value) if field.type == "double" else str(value)
    except ValueError:
        return []
    if field.unique:
        held = org.state.find_unique(sobject, field.name, wanted)
        return [held.id] if held is not None else []
    column = doc_sql("r", field.name)
    if field.type != "double":
        column, wanted = f"fold({column})", wanted.casefold()
    sql = f"SELECT r.id FROM record r WHERE r.object = '{sobject}' AND {column} = ? AND NOT r.deleted LIMIT 20"
    return [row[0] for row in stream(org.state, sql, (wanted,))]


def referring(org: Org, child: str, field: FieldDeclaration, record_id: str) -> list[str]:
    """Return the ids of the live records that refer to a record by a field."""
    column = doc_sql("r", field.name)
    sql = f"SELECT r.id FROM record r WHERE r.object = '{child}' AND {column} = ? AND NOT r.deleted"
    return [row[0] for row in stream(org.state, sql, (record_id,))]
