"""Asset checks: what must be true after a stage, asked of the store.

Belongs here: checks, their thresholds and severity. Not here: the counting (crm_sync/store), repairs (crm_sync/flows).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    MetadataValue,
    TableMetadataValue,
    TableRecord,
    asset_check,
)

from assets.naming import hub_key, outbound_key, streams
from crm_sync.flows.quality import FEW_REFUSED, MOST_REFUSED
from crm_sync.records import Books
from crm_sync.specs.model import ConnectionSpec, EntitySpec, SpecSet
from crm_sync.store import holding, links, outbox, runs
from resources.library import Library

LONGEST_WAIT_SECONDS: Final = 3600.0
"""A command may wait for a paused CRM; an hour is when a person should know."""


def asset_checks(specs: SpecSet) -> list[AssetChecksDefinition]:
    """Build the checks of every entity and stream."""
    synced = {entity.name: entity for _, entity in streams(specs)}
    checks = [build(entity) for entity in synced.values() for build in (_books, _quarantine)]
    return checks + [_waiting(connection, entity) for connection, entity in streams(specs)]


def _books(entity: EntitySpec) -> AssetChecksDefinition:
    @asset_check(
        asset=hub_key(entity.name),
        name="books_balance",
        blocking=True,
        description="Each record that this run read was applied, unchanged, lost, held, out of scope or read twice.",
    )
    def balanced(context: AssetCheckExecutionContext, library: Library) -> AssetCheckResult:
        run_id = UUID(context.run.run_id)
        books = library.context.database.run(lambda conn: runs.books(conn, [run_id]))
        return judge_books({stream: book for stream, book in books.items() if stream[1] == entity.name})

    return balanced


def judge_books(books: dict[tuple[str, str], Books]) -> AssetCheckResult:
    """Pass where every stream's records have exactly one disposition each."""
    wrong = sorted(connection for (connection, _), book in books.items() if not book.balanced())
    return AssetCheckResult(
        passed=not wrong,
        severity=AssetCheckSeverity.ERROR,
        description=f"the books do not balance for {', '.join(wrong)}" if wrong else "every record is accounted for",
        metadata={connection: str(book) for (connection, _), book in sorted(books.items())},
    )


def _quarantine(entity: EntitySpec) -> AssetChecksDefinition:
    @asset_check(
        asset=hub_key(entity.name),
        name="few_quarantined",
        description=f"At most {MOST_REFUSED:.0%} of the source records are refused for their content, "
        f"or {FEW_REFUSED} of them.",
    )
    def few(library: Library) -> AssetCheckResult:
        held, linked, reasons = library.context.database.run(
            lambda conn: (holding.count_held(conn), links.count_links(conn), holding.quarantine_reasons(conn))
        )
        mine = [(kind, rows) for (_, name, kind), rows in held.items() if name == entity.name]
        quarantined = sum(rows for kind, rows in mine if kind == "quarantined")
        total = quarantined + sum(rows for (_, name, _), rows in linked.items() if name == entity.name)
        return judge_quarantine(quarantined, total, [row for row in reasons if row["entity"] == entity.name])

    return few


def judge_quarantine(quarantined: int, total: int, reasons: Sequence[Mapping[str, Any]] = ()) -> AssetCheckResult:
    """Pass where few source records are quarantined, by share or by count; warn otherwise.

    `reasons` are the verdicts of validation in flight: connection, field, code, records. A record may have several.
    """
    share = quarantined / total if total else 0.0
    codes: Counter[str] = Counter()
    for row in reasons:
        codes[row["code"]] += row["records"]
    shown = ("connection", "field", "code", "records")
    return AssetCheckResult(
        passed=share <= MOST_REFUSED or quarantined <= FEW_REFUSED,
        severity=AssetCheckSeverity.WARN,
        metadata={
            "quarantined": quarantined,
            "records": total,
            "share": share,
            **{f"refused for {code}": rows for code, rows in sorted(codes.items())},
            **({"reasons": _table([{name: row[name] for name in shown} for row in reasons])} if reasons else {}),
        },
    )


def _table(rows: list[dict[str, Any]]) -> TableMetadataValue:
    return MetadataValue.table([TableRecord(row) for row in rows])


def _waiting(connection: ConnectionSpec, entity: EntitySpec) -> AssetChecksDefinition:
    @asset_check(
        asset=outbound_key(connection.name, entity.name),
        name="nothing_stuck",
        description=f"No command waits longer than {LONGEST_WAIT_SECONDS:.0f} s, and there are no dead letters.",
    )
    def moving(library: Library) -> AssetCheckResult:
        commands = library.context.database.run(outbox.count_commands)
        states = {state: found for (one, name, state), found in commands.items() if (one, name) == stream}
        return judge_waiting(states)

    stream = (connection.name, entity.name)
    return moving


def judge_waiting(states: dict[str, tuple[int, float]]) -> AssetCheckResult:
    """Pass where commands move; `states` is state -> (commands, age of the oldest in seconds)."""
    dead = states.get("dead", (0, 0.0))[0]
    waiting = [found for state, found in states.items() if state != "dead"]
    oldest = max((age for _, age in waiting), default=0.0)
    return AssetCheckResult(
        passed=dead == 0 and oldest <= LONGEST_WAIT_SECONDS,
        severity=AssetCheckSeverity.WARN,
        metadata={"waiting": sum(rows for rows, _ in waiting), "oldest_seconds": oldest, "dead": dead},
    )
