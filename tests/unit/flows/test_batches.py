"""Small pages land together, and none is lost or skipped by it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from crm_sync.flows.batches import joined_pages
from crm_sync.records import MISSING, Page, SourceBatch


def page(number: int, rows: int, **columns: list[object]) -> Page:
    """Return a page whose cursor is its number."""
    ids = [f"{number}-{row}" for row in range(rows)]
    values = {name: np.array(column, dtype=object) for name, column in columns.items()}
    batch = SourceBatch(
        connection="crm",
        entity="contact",
        object="Contact",
        record_ids=ids,
        versions=list(ids),
        stamps=np.array(["2026-01-01"] * rows, dtype="datetime64[us]"),
        deleted=np.zeros(rows, dtype=np.bool_),
        merged_into=[None] * rows,
        hub_ids=[None] * rows,
        values=values,
        raw=[i.encode() for i in ids],
    )
    return Page(batch, f"cursor {number}", None, 1)


def seen(joined: Iterator[Page]) -> list[tuple[int, str | None, int]]:
    return [(len(p.batch), p.cursor, p.calls) for p in joined]


def test_pages_join_until_there_are_enough_rows_and_go_on_after_the_last() -> None:
    pages = [page(n, 40) for n in range(5)]
    assert seen(joined_pages(pages, 100)) == [(120, "cursor 2", 3), (80, "cursor 4", 2)]
    assert seen(joined_pages(pages, 1)) == [(40, f"cursor {n}", 1) for n in range(5)]
    assert seen(joined_pages([page(n, 0) for n in range(3)], 100)) == [(0, "cursor 2", 3)]


def test_what_came_before_an_error_lands_first() -> None:
    def source() -> Iterator[Page]:
        yield page(0, 2)
        yield page(1, 2)
        raise LookupError

    joined = joined_pages(source(), 100)
    assert seen(iter([next(joined)])) == [(4, "cursor 1", 2)]
    with pytest.raises(LookupError):
        next(joined)


def test_columns_that_a_page_lacks_are_missing_not_null() -> None:
    (whole,) = joined_pages([page(0, 1, a=[None], b=["x"]), page(1, 1, a=["y"])], 100)
    assert whole.batch.values["a"].tolist() == [None, "y"]
    assert whole.batch.values["b"].tolist() == ["x", MISSING]
    assert whole.batch.record_ids == ["0-0", "1-0"]
    assert whole.batch.raw == [b"0-0", b"1-0"]
