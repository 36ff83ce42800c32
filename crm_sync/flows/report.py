"""Reports: the table of a run, and the state of every stream.

Belongs here: counts put together for people. Not here: how they are shown (cli, web), metrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from crm_sync.store import audit, holding, hub, links, outbox, runs, watermarks
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context


def table(ctx: Context, run_ids: Sequence[UUID]) -> list[dict[str, Any]]:
    """Return one row per connection and entity for runs: what they read, changed, hold and sent, and the API calls.

    `api_calls` counts the calls for that entity; those for none (sign-in, descriptions) stand in a row with entity "-".
    """

    def collect(conn: Connection) -> list[dict[str, Any]]:
        tallies = runs.tallies(conn, run_ids)
        actions = audit.count_by_action(conn, run_ids)
        calls = runs.calls(conn, run_ids)
        held = holding.count_held(conn)
        books = runs.books(conn, run_ids)
        streams = [(n, e) for (n, e) in ctx.specs.mappings if ctx.specs.connections[n].enabled]
        spent = _calls_by_stream(ctx, calls)
        rows = []
        for name, entity in sorted(streams, key=lambda s: (list(ctx.specs.entities).index(s[1]), s[0])):

            def did(direction: str, action: str, stream: tuple[str, str] = (name, entity)) -> int:
                return actions.get((*stream, direction, action), 0)

            rows.append(
                {
                    "connection": name,
                    "entity": entity,
                    "read": tallies.get((name, entity, "read"), 0),
                    "landed": tallies.get((name, entity, "landed"), 0),
                    "matched": did("in", "linked"),
                    "created": did("in", "created"),
                    "updated": did("in", "updated"),
                    "quarantined": held.get((name, entity, "quarantined"), 0),
                    "in_review": held.get((name, entity, "in_review"), 0),
                    "withheld": held.get((name, entity, "withheld"), 0),
                    "sent": did("out", "sent"),
                    "dead": did("out", "dead"),
                    "api_calls": spent.get((name, entity), 0),
                    "balanced": books[(name, entity)].balanced() if (name, entity) in books else True,
                }
            )
        for (name, entity), count in sorted(spent.items()):
            if entity == "-":
                rows.append({"connection": name, "entity": "-", "api_calls": count})
        return rows

    return ctx.database.run(collect)


def _calls_by_stream(ctx: Context, calls: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    names = {(c, word): e for (c, e), m in ctx.specs.mappings.items() for word in (m.object, m.singular)}
    spent: dict[tuple[str, str], int] = {}
    for (name, operation), count in calls.items():
        # The first word that names an object is the one that the call was made for.
        entities = (names.get((name, word)) for word in operation.replace("/", " ").split())
        stream = (name, next((e for e in entities if e), "-"))
        spent[stream] = spent.get(stream, 0) + count
    return spent


def status(ctx: Context) -> list[dict[str, Any]]:
    """Return one row per connection and entity: last read, links, what waits, what is dead or held."""

    def collect(conn: Connection) -> list[dict[str, Any]]:
        held = holding.count_held(conn)
        linked = links.count_links(conn)
        commands = outbox.count_commands(conn)
        now = ctx.clock.now()
        rows = []
        for name, entity in ctx.specs.mappings:
            position = watermarks.load_position(conn, name, entity)
            waiting, oldest = commands.get((name, entity, "waiting"), (0, 0.0))
            records, incomplete = hub.count_records(conn, entity)
            rows.append(
                {
                    "connection": name,
                    "entity": entity,
                    "enabled": ctx.specs.connections[name].enabled,
                    "read_at": position.read_at.isoformat() if position.read_at else None,
                    "lag_seconds": round((now - position.read_at).total_seconds(), 1) if position.read_at else None,
                    "unfinished_read": position.resume is not None,
                    "links": linked.get((name, entity, "live"), 0),
                    "golden_records": records,
                    "incomplete": incomplete,
                    "waiting": waiting,
                    "oldest_waiting_seconds": round(oldest, 1),
                    "unsettled": commands.get((name, entity, "sent"), (0, 0.0))[0],
                    "dead": commands.get((name, entity, "dead"), (0, 0.0))[0],
                    "quarantined": held.get((name, entity, "quarantined"), 0),
                    "in_review": held.get((name, entity, "in_review"), 0),
                    "withheld": held.get((name, entity, "withheld"), 0),
                    "parked": held.get((name, entity, "parked"), 0) + held.get((name, entity, "parked_out"), 0),
                }
            )
        return rows

    return ctx.database.run(collect)
