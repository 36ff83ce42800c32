"""The owners of the portal: people, a queue, and one who left. Source: owners guide."""

from __future__ import annotations

from typing import Any

from crm_sync.emulators.hubspot.catalog import BORN
from crm_sync.emulators.hubspot.refusals import not_found

Owner = dict[str, Any]


def _owner(id: int, email: str, first: str, last: str, *, kind: str = "PERSON", archived: bool = False) -> Owner:
    user = id + 1_000_000
    return {
        "id": str(id), "email": email, "type": kind, "firstName": first, "lastName": last,
        "userId": None if archived or kind == "QUEUE" else user,
        "userIdIncludingInactive": None if kind == "QUEUE" else user,
        "createdAt": BORN, "updatedAt": BORN, "archived": archived,
    }  # fmt: skip


OWNERS = [
    _owner(62510001, "person@emulator.test", "Emulated", "Person"),
    _owner(62510002, "second@emulator.test", "Second", "Owner"),
    _owner(62510003, "queue@emulator.test", "Support", "Queue", kind="QUEUE"),
    _owner(62510009, "gone@emulator.test", "Former", "Owner", archived=True),
]
"""An owner's id is not its userId."""


def owner_ids() -> list[str]:
    """Return the ids that owner properties may have."""
    return [one["id"] for one in OWNERS if not one["archived"]]


def users() -> list[dict[str, Any]]:
    """Return the users of the portal: the owners who can log in. Source: user provisioning guide."""
    return [
        {
            "id": str(one["userId"]), "email": one["email"], "firstName": one["firstName"], "lastName": one["lastName"],
            "roleIds": [], "superAdmin": at == 0,
        }
        for at, one in enumerate(one for one in OWNERS if one["userId"] is not None)
    ]  # fmt: skip


def owners(*, email: str | None, archived: bool, after: int, limit: int) -> tuple[list[Owner], int | None]:
    """Return a page of owners, and where the next one starts."""
    found = [one for one in OWNERS if one["archived"] == archived and email in (None, "", one["email"])]
    page = found[after : after + limit]
    following = after + len(page)
    return page, following if following < len(found) else None


def owner(id: str, id_property: str, *, archived: bool) -> Owner:
    """Return one owner by id or userId; 404 where there is none."""
    for one in OWNERS:
        if str(one[id_property if id_property == "userId" else "id"]) == id and one["archived"] == archived:
            return one
    raise not_found(id)
