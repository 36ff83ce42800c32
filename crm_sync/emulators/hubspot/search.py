"""Search: filters, one sort, offset paging up to 10,000, and an index that may lag.

While the knob "index_lag_seconds" is above 0, records changed more recently than that are not found (in a real portal
they are found in their old state). Not emulated: `query`, token operators, filters on associations (501).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.hubspot.batches import Answer
from crm_sync.emulators.hubspot.properties import milliseconds
from crm_sync.emulators.hubspot.records import NUMBER, Records
from crm_sync.emulators.hubspot.refusals import invalid, not_supported
from crm_sync.emulators.state import field_sql

MAX_GROUPS, MAX_FILTERS, MAX_ALL_FILTERS, MAX_LIMIT, MAX_RESULTS = 5, 6, 18, 200, 10_000
FEW = 2_000
"""Up to so many hits it is quicker to sort what the index by stamp finds than to walk along the one by id."""
COMPARISONS = {"EQ": "=", "NEQ": "<>", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}

Filter = Mapping[str, Any]


class Search:
    """Searches on records."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._state = records.state

    def search(self, object: str, document: Any, lag_seconds: float) -> Answer:
        """Answer one search request."""
        if not isinstance(document, Mapping):
            raise invalid("Invalid input JSON: an object is expected.")
        if document.get("query"):
            raise not_supported("search by query")
        limit, offset = _whole(document, "limit", 10), _whole(document, "after", 0)
        if not 0 < limit <= MAX_LIMIT:
            raise invalid(f"The limit of a search is between 1 and {MAX_LIMIT}.")
        if offset >= MAX_RESULTS:
            raise invalid(f"The maximum offset of a search is {MAX_RESULTS - 1}.")
        groups, sorts = _groups(document), document.get("sorts") or []
        where, params = self._where(object, groups, lag_seconds, walk=False)
        total = self._state.count(object, where=where, params=params)
        walk = total > FEW
        if walk:
            where, params = self._where(object, groups, lag_seconds, walk=True)
        order = self._order(object, sorts, walk=walk)
        found = self._state.scan(object, where=where, params=params, order=order, limit=limit, offset=offset)
        body: dict[str, Any] = {
            "total": total,
            "results": [self._records.show(one, document.get("properties") or None) for one in found],
        }
        if offset + len(found) < total and found:
            body["paging"] = {"next": {"after": str(offset + len(found))}}
        return 200, body

    # -- filters

    def _where(
        self, object: str, groups: list[list[Filter]], lag_seconds: float, *, walk: bool
    ) -> tuple[str, list[Any]]:
        """Return the SQL of the filters; a "+" hides a column from the planner, so that it takes the other index."""
        params: list[Any] = []
        alternatives = []
        for group in groups:
            conditions = [self._condition(object, one, params, walk=walk) for one in group]
            alternatives.append(" AND ".join(conditions) or "1")
        where = " OR ".join(f"({one})" for one in alternatives) or "1"
        if lag_seconds > 0:
            where = f"({where}) AND modified_us <= ?"
            params.append(self._state.now_us() - int(lag_seconds * 1_000_000))
        return where, params

    def _condition(self, object: str, given: Filter, params: list[Any], *, walk: bool) -> str:
        name, operator = str(given.get("propertyName")), given.get("operator")
        if name.startswith("associations."):
            raise not_supported(f"a search filter on {name}")
        column, kind = self._column(object, name)
        if column == NUMBER and not walk:
            column = f"({NUMBER} + 0)"
        elif column == "modified_us" and walk:
            column = "+modified_us"
        if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
            return f"{column} IS {'NOT ' if operator == 'HAS_PROPERTY' else ''}NULL"
        if operator in ("IN", "NOT_IN"):
            values = given.get("values")
            if not isinstance(values, list) or not values:
                raise invalid(f"A filter with operator {operator} needs values.")
            # Sent values are compared as they are with the lower-cased index of texts: they must be lower case.
            params += [_operand(kind, one, fold=False) for one in values]
            inside = f"{column} IN ({', '.join('?' * len(values))})"
            return inside if operator == "IN" else f"NOT coalesce({inside}, 0)"
        if operator == "BETWEEN":
            params += [_operand(kind, given.get("value")), _operand(kind, given.get("highValue"))]
            return f"{column} BETWEEN ? AND ?"
        if operator in COMPARISONS:
            params.append(_operand(kind, given.get("value")))
            condition = f"{column} {COMPARISONS[operator]} ?"
            return f"coalesce({condition}, 1)" if operator == "NEQ" else condition
        if operator in ("CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"):
            raise not_supported(f"the search operator {operator}")
        raise invalid(f"Unknown filter operator {operator}.")

    def _column(self, object: str, name: str) -> tuple[str, str]:
        """Return the SQL and the kind (stamp, number, exact, text) of a property."""
        declared = self._records.properties.fields(object).get(name)
        if declared is None:
            raise invalid(f"Property {name} of {object} does not exist.", context={"propertyName": [name]})
        if name == self._records.properties.object(object).extra["stamp"]:
            return "modified_us", "stamp"
        if name == "createdate":
            return "created_us", "stamp"
        if name == "hs_object_id":
            return NUMBER, "number"
        column = field_sql(name)
        if declared.type == "number":
            return f"CAST({column} AS REAL)", "number"
        if declared.type in ("enumeration", "bool"):
            return column, "exact"
        if declared.type in ("date", "datetime"):
            return f"CAST(strftime('%s', {column}) AS INTEGER) * 1000", "instant"
        return f"fold({column})", "text"

    def _order(self, object: str, sorts: list[Any], *, walk: bool) -> str:
        if len(sorts) > 1:
            raise invalid("Only one sort can be applied.")
        if not sorts:
            return f"created_us, {NUMBER}"
        one = sorts[0]
        if isinstance(one, str):
            one = {"propertyName": one.lstrip("-"), "direction": "DESCENDING" if one.startswith("-") else "ASCENDING"}
        column, _ = self._column(object, str(one.get("propertyName")))
        direction = str(one.get("direction", "ASCENDING"))
        if direction not in ("ASCENDING", "DESCENDING"):
            raise invalid(f"Unknown sort direction {direction}.")
        way = "DESC" if direction == "DESCENDING" else "ASC"
        if column == NUMBER:
            return f"{column} {way}" if walk else f"{column} + 0 {way}"
        return f"{column} {way}, {NUMBER}"


def _groups(document: Mapping[str, Any]) -> list[list[Filter]]:
    groups = [one.get("filters") for one in document.get("filterGroups") or [] if isinstance(one, Mapping)]
    if document.get("filters"):
        groups.append(document["filters"])
    clean = [[one for one in group or [] if isinstance(one, Mapping)] for group in groups]
    if len(clean) > MAX_GROUPS or any(len(one) > MAX_FILTERS for one in clean):
        raise invalid(f"A search has at most {MAX_GROUPS} filter groups of at most {MAX_FILTERS} filters.")
    if sum(len(one) for one in clean) > MAX_ALL_FILTERS:
        raise invalid(f"A search has at most {MAX_ALL_FILTERS} filters.")
    return clean


def _operand(kind: str, value: Any, *, fold: bool = True) -> Any:
    if value is None:
        raise invalid("A filter with this operator needs a value.")
    if kind in ("stamp", "instant"):
        ms = milliseconds(value)
        if ms is None:
            raise invalid(f"{value} was not a valid date.")
        return ms * 1000 if kind == "stamp" else ms
    if kind == "number":
        try:
            return float(value)
        except (TypeError, ValueError):
            raise invalid(f"{value} was not a valid number.") from None
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return text.casefold() if kind == "text" and fold else text


def _whole(document: Mapping[str, Any], name: str, default: int) -> int:
    value = document.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, bool) or not str(value).isdigit():
        raise invalid(f"{name} must be a whole number.")
    return int(value)
