"""Search: filters, words, one sort, offset paging up to 10,000, and an index that may lag.

While the knob "index_lag_seconds" is above 0, or where the fault `index_lag` strikes, records are found as they were so
many seconds ago (former.py). Source: "Search the CRM".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.hubspot.batches import Answer
from crm_sync.emulators.hubspot.bodies import listed, texts, whole
from crm_sync.emulators.hubspot.filters import MAX_QUERY, Conditions, Filter, groups_of
from crm_sync.emulators.hubspot.former import Former
from crm_sync.emulators.hubspot.records import Records
from crm_sync.emulators.hubspot.refusals import invalid

MAX_LIMIT, MAX_RESULTS = 200, 10_000
FEW = 2_000
"""Up to so many hits it is quicker to sort what the index by stamp finds than to walk along the one by id."""


class Search:
    """Searches on records."""

    def __init__(self, records: Records, former: Former, faults: Faults) -> None:
        self._records, self._former, self._faults = records, former, faults
        self._state = records.state

    def _lag_seconds(self, object: str) -> float:
        fault = self._faults.strike("index_lag", object=object)
        lag = float(self._faults.knob("index_lag_seconds", 0) or 0)
        return max(lag, fault.seconds) if fault else lag

    def search(self, object: str, document: Mapping[str, Any]) -> Answer:
        """Answer one search request."""
        words = str(document.get("query") or "")
        if len(words) > MAX_QUERY:
            raise invalid(f"The query of a search has at most {MAX_QUERY} characters.")
        limit, offset = whole(document, "limit", 10), whole(document, "after", 0)
        if not 0 < limit <= MAX_LIMIT:
            raise invalid(f"The limit of a search is between 1 and {MAX_LIMIT}.")
        if not 0 <= offset < MAX_RESULTS:
            raise invalid(f"The offset of a search is between 0 and {MAX_RESULTS - 1}.")
        groups, sorts = groups_of(document), listed(document, "sorts")
        lag = self._lag_seconds(object)
        where, params, order = self._plan(object, groups, words, sorts, walk=False)
        if lag > 0:
            total, found = self._former.find(object, lag, where, params, order, limit, offset)
        else:
            total = self._state.count(object, where=where, params=params)
            if total > FEW:
                where, params, order = self._plan(object, groups, words, sorts, walk=True)
            found = self._state.scan(object, where=where, params=params, order=order, limit=limit, offset=offset)
        body: dict[str, Any] = {
            "total": total, "results": self._records.show_all(found, texts(document, "properties") or None)
        }  # fmt: skip
        if offset + len(found) < total and found:
            body["paging"] = {"next": {"after": str(offset + len(found))}}
        return 200, body

    def _plan(
        self, object: str, groups: list[list[Filter]], words: str, sorts: list[Any], *, walk: bool
    ) -> tuple[str, list[Any], str]:
        """Return the SQL condition, its parameters and the SQL order of a search."""
        conditions = Conditions(self._records.catalog, object, walk=walk)
        where = conditions.where(groups, words)
        return where, list(conditions.params), conditions.order(sorts)
