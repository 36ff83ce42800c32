"""Change tracking: the first complete read, and what changed since a delta token.

A delta link stands for the moment of the last page of a first tracked read, not of its first page: Dataverse promises
no more, so clients must look for themselves at what changed meanwhile. It dies after seven days (knob "delta_seconds"),
when the table's definition changes, and of the fault expire_delta.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from crm_sync.emulators.dynamics.annotations import Annotator, context, select
from crm_sync.emulators.dynamics.keys import Keys
from crm_sync.emulators.dynamics.paging import Cookie, next_link
from crm_sync.emulators.dynamics.protocol import Answer, Call, ODataError
from crm_sync.emulators.dynamics.tables import Table
from crm_sync.emulators.faults import Faults
from crm_sync.emulators.state import Between, State

DELTA_SECONDS: Final = 7 * 86400.0
MOMENT: Final = "%m/%d/%Y %H:%M:%S"


class Tracking:
    """Tracked reads of one environment."""

    def __init__(self, state: State, keys: Keys, faults: Faults, annotator: Annotator) -> None:
        self._state = state
        self._keys = keys
        self._faults = faults
        self._annotator = annotator

    def answer(self, call: Call, table: Table, options: Mapping[str, str], size: int, cookie: Cookie | None) -> Answer:
        """Return a page of a tracked read."""
        for name in options:
            if name not in ("$select", "$skiptoken", "$deltatoken"):
                raise ODataError(400, "0x80060888", f"The query option {name} is not supported with change tracking.")
        if not self._keys.tracked(table.logical):
            raise ODataError(400, "0x80072491", f"Entity {table.logical} does not have change tracking enabled.")
        since = self._token(table, options["$deltatoken"]) if "$deltatoken" in options else None
        place = _place(cookie, first=since is None)
        # the first read goes by id: what changes while it is paged must be in the delta, so that its start is kept
        until = self._state.last_seq() if since is not None or place is None else place[1]
        if since is None:
            after = None if place is None else Between(gt=place[0])
            records = self._state.scan(table.logical, id=after, limit=size + 1)
        else:
            low = since if place is None else place[0]
            records = self._state.scan(
                table.logical, deleted=None, seq=Between(gt=low, le=until), order="seq", limit=size + 1
            )
        more = len(records) > size
        records = records[:size]
        chosen = options.get("$select")
        document: dict[str, Any] = {
            "@odata.context": context(call.root, table, chosen, "" if since is None else "/$delta")
        }
        if not more:
            document["@odata.deltaLink"] = self._delta(call, table, options, until)
        wanted = call.preferences().get("odata.include-annotations")
        live = [one for one in records if not one.deleted]
        rows = iter(self._annotator.rows(table, select(table, chosen), live, wanted))
        gone = f"{call.root}$metadata#{table.set_name}/$deletedEntity"
        document["value"] = [
            {"@odata.context": gone, "id": one.id, "reason": "deleted"} if one.deleted else next(rows)
            for one in records
        ]
        if more:
            last = [records[-1].id, until] if since is None else [records[-1].seq]
            number = cookie.number + 1 if cookie else 2
            document["@odata.nextLink"] = next_link(call, Cookie(number, last, tracking=True))
        return Answer.of(document, 200, **call.applied())

    def _delta(self, call: Call, table: Table, options: Mapping[str, str], seq: int) -> str:
        moment = datetime.fromtimestamp(self._state.now_us() // 1_000_000, UTC)
        token = quote(f"{seq}!{moment:{MOMENT}}", safe="")
        chosen = f"$select={quote(options['$select'], safe=',')}&" if "$select" in options else ""
        return f"{call.root}{table.set_name}?{chosen}$deltatoken={token}"

    def _token(self, table: Table, text: str) -> int:
        """Return the position of a delta token. Raises ODataError where it has expired."""
        seq_text, _, moment_text = text.partition("!")
        try:
            seq = int(seq_text)
            moment = datetime.strptime(moment_text, MOMENT).replace(tzinfo=UTC)
        except ValueError:
            raise ODataError(400, "0x80060888", f"Invalid value '{text}' of the option $deltatoken.") from None
        age = self._state.now_us() / 1_000_000 - moment.timestamp()
        expired = age > float(self._faults.knob("delta_seconds", DELTA_SECONDS))
        expired = expired or seq < self._keys.defined_at(table.logical)
        if expired or self._faults.strike("expire_delta", object=table.logical):
            raise ODataError(400, "0x80044352", "The token is expired or invalid. A full synchronization is needed.")
        return seq


def _place(cookie: Cookie | None, *, first: bool) -> list[Any] | None:
    """Return where a page goes on: [id, version at the start] of a first read, [version] of a delta."""
    if cookie is None:
        return None
    kinds: tuple[type, ...] = (str, int) if first else (int,)
    place = cookie.position or []
    if len(place) != len(kinds) or not all(isinstance(one, kind) for one, kind in zip(place, kinds, strict=True)):
        raise ODataError(400, "0x80060888", "Malformed XML in the Paging Cookie")
    return place
