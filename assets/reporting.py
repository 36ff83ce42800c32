"""What a flow reported, in Dagster's words.

Belongs here: counts as metadata, the library's errors as failures. Not here: counting (crm_sync/flows).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from dagster import Failure, MaterializeResult, MetadataValue

from crm_sync.errors import Busy, CrmSyncError, Misconfigured, Refused


class Report(Protocol):
    """What every flow returns."""

    def counts(self) -> Mapping[str, int]:
        """Return counts by past participle."""
        ...


def counted(*reports: Report, **further: int) -> MaterializeResult[None]:
    """Turn the counts of the flows of one asset, and further ones, into a materialisation."""
    counts = {name: rows for report in reports for name, rows in report.counts().items()} | further
    return MaterializeResult(metadata={name: MetadataValue.int(rows) for name, rows in counts.items()})


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
