"""What a flow reported, in Dagster's words.

Belongs here: counts as metadata, versions of what did not change, the library's errors as failures. Not here: counting
(crm_sync/flows).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, Protocol

from dagster import AssetExecutionContext, DataVersion, Failure, MaterializeResult, MetadataValue

from crm_sync.errors import Busy, CrmSyncError, Misconfigured, Refused
from crm_sync.store import runs
from resources.library import Library

_VERSION: Final = "dagster/data_version"
_IDLE: Final = frozenset({"pages", "read", "unchanged", "deduplicated", "out_of_scope"})
"""Counts of what changed nothing."""


class Report(Protocol):
    """What every flow returns."""

    def counts(self) -> Mapping[str, int]:
        """Return counts by past participle."""
        ...


def counted(*reports: Report, **further: int) -> MaterializeResult[None]:
    """Turn the counts of the flows of one asset, and further ones, into a materialisation."""
    counts = {name: rows for report in reports for name, rows in report.counts().items()} | further
    return MaterializeResult(metadata={name: MetadataValue.int(rows) for name, rows in counts.items()})


def unless_idle(
    context: AssetExecutionContext, result: MaterializeResult[None], *reports: Report
) -> MaterializeResult[None]:
    """Give an asset a new version where the flows changed something, and else the one it has.

    Every connection's sync materialises the hub; without this all others would show as out of date after each of them.
    """
    event = context.instance.get_latest_materialization_event(context.asset_key)
    made = event.asset_materialization if event else None
    former = (made.tags or {}).get(_VERSION) if made else None
    changed = any(rows for report in reports for name, rows in report.counts().items() if name not in _IDLE)
    version = context.run.run_id if changed or former is None else former
    return MaterializeResult(metadata=result.metadata, data_version=DataVersion(version))


@contextmanager
def noting(library: Library, connection: str) -> Iterator[None]:
    """Note in the library's run that a connection was missed and why, for `crm-sync status`; the error goes on."""
    try:
        yield
    except Busy:
        raise
    except CrmSyncError as error:
        context, missed = library.context, {connection: f"{type(error).__name__}: {error}"}
        # Where the store is the trouble, the error itself says so.
        with suppress(CrmSyncError):
            context.database.run(lambda conn: runs.end_run(conn, context.run_id, "failed", missed))
        raise


@contextmanager
def plainly() -> Iterator[None]:
    """Let the library's errors fail the step with one clear message.

    What a person must mend, or a CRM refused for good, is not tried again. A step that was locked out fails too: the
    other run does its work, and this one must not count as materialised.
    """
    try:
        yield
    except Busy as error:
        raise Failure(f"Locked out: {error} Nothing is lost, that run does the work.", allow_retries=False) from None
    except (Misconfigured, Refused) as error:
        raise Failure(str(error), allow_retries=False) from None
    except CrmSyncError as error:
        raise Failure(str(error)) from error
