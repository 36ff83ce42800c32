"""The command `status`: how far each connection is, what is held, and what a person can do about it.

Belongs here: its tables and its words. Not here: the counting (flows/status.py, flows/report.py).
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import typer

from crm_sync.cli.arguments import Json, opened
from crm_sync.cli.showing import as_json, show
from crm_sync.specs.model import ConnectionSpec
from crm_sync.store import runs

Row = dict[str, Any]
Run = tuple[UUID, str, datetime, datetime | None, str, dict[str, Any]]

_RUNS: Final = 500
"""So many of the newest runs are looked at for connections that were missed."""
_RARE: Final = ("enabled", "unfinished_read", "incomplete", "oldest_waiting_seconds", "unsettled")
_USUAL: Final[dict[str, object]] = {"enabled": True}
_HELD: Final = {
    "withheld": "values that {connection} refused while it took the rest of the record, for the reasons below; "
    "which: `crm-sync explain {entity} {connection}:<record id>`. Another value is tried again by itself",
    "in_review": "cells that wait for a person to decide between two values",
    "parked": "references that wait for a record to arrive that they lead to; nothing to do unless it never does",
    "dead": "commands given up, listed below; they are sent anew when the record changes",
    "quarantined": "records refused for their content, for the reasons below; mend them in {connection}, and the next "
    "sync takes them",
}


def status(json: Json = False) -> None:
    """Say how far each connection is.

    Per connection and entity: time and age of the last read, links, what waits to be sent, and what is held: in
    quarantine, in review, withheld (a value that the CRM refused while it took the rest of the record), parked (waits
    for a record that it refers to), dead (given up). Connections that were missed, with the reason and what to do.

    Example:  crm-sync status --json
    """
    from crm_sync.flows.status import status as ask

    with opened("status") as context:
        report = ask(context)
        newest = context.database.run(lambda conn: runs.recent_runs(conn, _RUNS))
        specs = context.specs.connections
    gaps = missed(newest, report.rows)
    for gap in gaps:
        gap["next"] = next_step(gap["reason"], specs[gap["connection"]])
    if json:
        typer.echo(as_json({**dataclasses.asdict(report), "missed": gaps}))
        return
    show(
        [_told(row, report.rows) for row in report.rows],
        json=False,
        empty="No connection is enabled; see config/connections.yaml.",
    )
    for gap in gaps:
        at = f"{gap['at'][:19]}Z"
        typer.echo(f"\nmissed {gap['connection']} at {at}, not read since: {gap['reason']}\n  {gap['next']}")
    lines = held(report.rows)
    if lines:
        typer.echo("\nheld:")
        for line in lines:
            typer.echo(f"  {line}")
    named = ("connection", "entity", "action", "error_class", "error_code")
    kinds = Counter(tuple(letter[name] for name in named) for letter in report.dead_letters)
    dead = [dict(zip(named, kind, strict=True)) | {"commands": rows} for kind, rows in sorted(kinds.items(), key=str)]
    told = {"dead letters": dead, "quarantine": report.quarantine_reasons, "withheld": report.withheld_reasons}
    for title, rows in told.items():
        if rows:
            typer.echo(f"\n{title}:")
            show(rows, json=False, empty="")


def missed(newest: Sequence[Run], rows: Sequence[Row]) -> list[Row]:
    """Return the connections that a run missed and that were not read completely since: when, why; newest runs first.

    `rows` are those of the streams, with `connection` and `read_at` (ISO, or None where it was never read).
    """
    found: dict[str, Row] = {}
    for run in newest:
        at = run[3] or run[2]
        for name, reason in run[5].items():
            reads = [row["read_at"] for row in rows if row["connection"] == name and row["enabled"]]
            since = all(read_at is not None and datetime.fromisoformat(read_at) > at for read_at in reads)
            if name not in found and reads and not since:
                found[name] = {"connection": name, "at": at.isoformat(), "reason": str(reason)}
    return list(found.values())


def next_step(reason: str, spec: ConnectionSpec) -> str:
    """Say what a person can do about a connection that was missed; `reason` begins with the error's class."""
    name, kind = spec.name, reason.partition(":")[0]
    look = f"crm-sync check --live -c {name}"
    if kind == "BadCredentials":
        secrets = ", ".join(sorted(spec.secrets_env.values()))
        return f"Set credentials that {name} accepts ({secrets}), see that they do with `{look}`, then `crm-sync sync`."
    if kind == "BadSettings":
        return f"Set what is named there, see that it is enough with `{look}`, then `crm-sync sync -c {name}`."
    if kind == "Unreachable":
        return f"The next sync tries again. If it stays so, see whether {spec.address_env} leads to the CRM: `{look}`."
    if kind == "LimitReached":
        return "Nothing to do: syncs go on when the CRM allows calls again."
    if kind in ("Busy", "LostLock"):
        return "Nothing to do: another run did the work."
    return f"`crm-sync sync -c {name}` tries again now; if it stays so, `{look}`."


def held(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say in one line each what is held of which stream, and what comes of it."""
    return [
        f"{row['connection']}/{row['entity']}: {row[kind]} {text.format(**row)}."
        for kind, text in _HELD.items()
        for row in rows
        if row[kind]
    ]


def _told(row: Row, rows: Sequence[Row]) -> Row:
    """Return a row as a person wants it: whole seconds, and what is as usual in every row left out."""
    dull = {name for name in _RARE if all(other[name] == _USUAL.get(name, 0) for other in rows)}
    read_at = row["read_at"] and f"{row['read_at'][:19]}Z"
    return {name: value for name, value in (row | {"read_at": read_at}).items() if name not in dull}
