"""Read what tables the environment has: the files beside this one, and what a person declared besides.

A declared table needs only its fields; `schema_name`, `set_name` (plural), `id`, `primary_name` and `type_code` have
defaults in Dataverse's way. A lookup is declared with `navigation = { new_AccountId = "account" }`, and is seen from
its target as `collections = { account = "new_account_new_project" }`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

from crm_sync.emulators.declarations import FieldDeclaration, ObjectDeclaration, load

HERE: Final = Path(__file__).parent
FILES: Final = tuple(HERE / f"declarations{part}.toml" for part in ("", "_sales", "_service", "_activities", "_system"))
FIRST_CUSTOM_CODE: Final = 10_000


def _links() -> dict[str, dict[str, str]]:
    out: dict[str, dict[str, str]] = {}
    for path in FILES:
        out |= tomllib.loads(path.read_text(encoding="utf-8")).get("relationships", {})
    return out


LINKS: Final = _links()
"""Schema name -> entity1, entity2, intersect of each N:N relationship."""


@cache
def _own() -> dict[Path, dict[str, ObjectDeclaration]]:
    return {path: load(path) for path in FILES}


def declared(more: Mapping[str, Any] | None) -> dict[str, ObjectDeclaration]:
    """Return the declarations of all tables; `more` is the part of a declarations file for this environment."""
    objects: Mapping[str, Any] = (more or {}).get("objects", {})
    out: dict[str, ObjectDeclaration] = {}
    for path, here in _own().items():
        if any(name in here for name in objects):
            here = load(path, {"objects": {name: raw for name, raw in objects.items() if name in here}})
        out |= here
    custom = {name: raw for name, raw in objects.items() if name not in out}
    if custom:
        loaded = load(FILES[0], {"objects": custom})
        for number, name in enumerate(custom):
            out[name] = completed(loaded[name], FIRST_CUSTOM_CODE + number)
    return out


def completed(one: ObjectDeclaration, code: int) -> ObjectDeclaration:
    """Return a custom table with what Dataverse gives it by itself: names, code, states."""
    name = one.name
    extra = {
        "schema_name": name,
        "set_name": plural(name),
        "id": f"{name}id",
        "type_code": code,
        "custom": True,
        **one.extra,
    }
    fields = {key: _custom(field) for key, field in one.fields.items()}
    if "primary_name" not in extra:
        texts = [field.name for field in fields.values() if field.type == "String"]
        extra["primary_name"] = texts[0] if texts else extra["id"]
    if "statecode" not in fields:
        state = FieldDeclaration("statecode", "State", default=0, options={"0": "Active", "1": "Inactive"})
        status = FieldDeclaration(
            "statuscode",
            "Status",
            default=1,
            options={"1": "Active", "2": "Inactive"},
            extra={"state_of": {"1": 0, "2": 1}},
        )
        fields |= {"statecode": state, "statuscode": status}
    return ObjectDeclaration(name, fields, extra)


def plural(name: str) -> str:
    """Return the set name that Dataverse makes of a table's name."""
    if name.endswith("y"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "x", "ch", "sh")) else f"{name}s"


def _custom(one: FieldDeclaration) -> FieldDeclaration:
    return replace(one, extra={"custom": True, **one.extra})
