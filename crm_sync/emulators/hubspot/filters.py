"""Turn the filters, sorts and words of a search into SQL over the records.

Source: "Search the CRM" (operators, what is case-sensitive, limits of groups and filters).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.hubspot.bodies import mappings
from crm_sync.emulators.hubspot.catalog import Catalog
from crm_sync.emulators.hubspot.identity import CONTACTS
from crm_sync.emulators.hubspot.properties import milliseconds
from crm_sync.emulators.hubspot.records import NUMBER
from crm_sync.emulators.hubspot.refusals import invalid
from crm_sync.emulators.state import field_sql

MAX_GROUPS, MAX_FILTERS, MAX_ALL_FILTERS, MAX_QUERY = 5, 6, 18, 3000
COMPARISONS = {"EQ": "=", "NEQ": "<>", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
SEPARATORS = "@.-_,/+:;()'&"

Filter = Mapping[str, Any]


class Conditions:
    """The SQL of one search on one object; `params` fills as conditions are asked for.

    `walk`: the records are walked along in the order of their ids; a "+" hides the other columns from the planner.
    """

    def __init__(self, catalog: Catalog, object: str, *, walk: bool) -> None:
        self._catalog, self._object, self._walk = catalog, object, walk
        self.params: list[Any] = []

    def where(self, groups: list[list[Filter]], words: str) -> str:
        """Return the condition of filter groups (any of them, each in full) and of the words of `query`; "": all."""
        alternatives = [" AND ".join(self._condition(one) for one in group) for group in groups]
        if not all(alternatives):
            alternatives = []
            self.params.clear()
        filtered = " OR ".join(f"({one})" for one in alternatives)
        return f"({filtered or 1}) AND {self._worded(words)}" if words.split() else filtered

    def _worded(self, words: str) -> str:
        """Return that every word is found in one of the object's searched properties."""
        columns = [f"fold({field_sql(name)})" for name in self._catalog.traits(self._object)["searched"]]
        out = []
        for word in words.split():
            self.params += [f"%{_escaped(word.casefold())}%"] * len(columns)
            out.append("(" + (" OR ".join(f"{one} LIKE ? ESCAPE '\\'" for one in columns) or "0") + ")")
        return " AND ".join(out)

    def _condition(self, given: Filter) -> str:
        name, operator = str(given.get("propertyName")), str(given.get("operator"))
        if name.startswith("associations."):
            return self._associated(name.removeprefix("associations."), given)
        if (self._object, name) == (CONTACTS, "email") and operator in ("EQ", "IN"):
            return self._addressed(_values(given) if operator == "IN" else [given.get("value")], fold=operator == "EQ")
        column, kind = self.column(name)
        if column == NUMBER and not self._walk:
            column = f"({NUMBER} + 0)"
        elif column == "modified_us" and self._walk:
            column = "+modified_us"
        if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
            return f"{column} IS {'NOT ' if operator == 'HAS_PROPERTY' else ''}NULL"
        if operator in ("IN", "NOT_IN"):
            # Sent values are compared as they are with the lower-cased index of texts: they must be lower case.
            values = [_operand(kind, one, fold=False) for one in _values(given)]
            self.params += values
            inside = f"{column} IN ({', '.join('?' * len(values))})"
            return inside if operator == "IN" else f"NOT coalesce({inside}, 0)"
        if operator == "BETWEEN":
            self.params += [_operand(kind, given.get("value")), _operand(kind, given.get("highValue"))]
            return f"{column} BETWEEN ? AND ?"
        if operator in COMPARISONS:
            self.params.append(_operand(kind, given.get("value")))
            condition = f"{column} {COMPARISONS[operator]} ?"
            return f"coalesce({condition}, 1)" if operator == "NEQ" else condition
        if operator in ("CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"):
            self.params.append(_token_pattern(given.get("value")))
            inside = f"{_tokens(field_sql(name))} GLOB ?"
            return inside if operator == "CONTAINS_TOKEN" else f"NOT coalesce({inside}, 0)"
        raise invalid(f"Unknown filter operator {operator}.")

    def _addressed(self, emails: list[Any], *, fold: bool) -> str:
        """Return that a contact has one of some addresses, by the index of unique values, which are in lower case."""
        self.params += [CONTACTS, *(_operand("text", one, fold=fold) for one in emails)]
        marks = ", ".join("?" * len(emails))
        return f"id IN (SELECT id FROM unique_value WHERE object = ? AND field = 'email' AND value IN ({marks}))"

    def _associated(self, other: str, given: Filter) -> str:
        """Return that a record is associated with one of some ids (pseudo property associations.OBJECT)."""
        operator = str(given.get("operator"))
        if operator not in ("EQ", "IN", "NEQ", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY"):
            raise invalid(f"The operator {operator} does not work on associations.")
        self.params += [self._object, self._catalog.resolve(other)]
        inside = "SELECT 1 FROM association WHERE from_object = ? AND to_object = ? AND from_id = record.id"
        if "PROPERTY" not in operator:
            ids = _values(given) if operator in ("IN", "NOT_IN") else [given.get("value")]
            self.params += [str(one) for one in ids]
            inside += f" AND to_id IN ({', '.join('?' * len(ids))})"
        negated = operator in ("NEQ", "NOT_IN", "NOT_HAS_PROPERTY")
        return f"{'NOT ' if negated else ''}EXISTS ({inside})"

    def column(self, name: str) -> tuple[str, str]:
        """Return the SQL and the kind (stamp, number, exact, instant, text) of a property."""
        declared, extra = self._catalog.fields(self._object).get(name), self._catalog.traits(self._object)
        if declared is None:
            raise invalid(f"Property {name} of {self._object} does not exist.", context={"propertyName": [name]})
        if name == extra["stamp"]:
            return "modified_us", "stamp"
        if name == extra["created"]:
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

    def order(self, sorts: list[Any]) -> str:
        """Return the SQL of the one sort; by creation where there is none."""
        if len(sorts) > 1:
            raise invalid("Only one sort can be applied.")
        if not sorts:
            return f"created_us, {NUMBER}" if self._walk else f"+created_us, {NUMBER} + 0"
        one = sorts[0]
        if isinstance(one, str):
            one = {"propertyName": one.lstrip("-"), "direction": "DESCENDING" if one.startswith("-") else "ASCENDING"}
        if not isinstance(one, Mapping):
            raise invalid("A sort is a property name or an object.")
        column, _ = self.column(str(one.get("propertyName")))
        direction = str(one.get("direction") or "ASCENDING")
        if direction not in ("ASCENDING", "DESCENDING"):
            raise invalid(f"Unknown sort direction {direction}.")
        way = "DESC" if direction == "DESCENDING" else "ASC"
        if column == NUMBER:
            return f"{column} {way}" if self._walk else f"{column} + 0 {way}"
        return f"{column} {way}, {NUMBER}"


def groups_of(document: Mapping[str, Any]) -> list[list[Filter]]:
    """Return the filter groups of a search; filters at the top level are a group too. 400 for too many."""
    clean = [mappings(one, "filters") for one in mappings(document, "filterGroups")]
    if document.get("filters"):
        clean.append(mappings(document, "filters"))
    if len(clean) > MAX_GROUPS or any(len(one) > MAX_FILTERS for one in clean):
        raise invalid(f"A search has at most {MAX_GROUPS} filter groups of at most {MAX_FILTERS} filters.")
    if sum(len(one) for one in clean) > MAX_ALL_FILTERS:
        raise invalid(f"A search has at most {MAX_ALL_FILTERS} filters.")
    return clean


def _values(given: Filter) -> list[Any]:
    values = given.get("values")
    if not isinstance(values, list) or not values:
        raise invalid(f"A filter with operator {given.get('operator')} needs values.")
    return values


def _escaped(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


def _tokens(column: str) -> str:
    """Return the SQL of a text as tokens between single blanks."""
    out = f"fold({column})"
    for one in SEPARATORS:
        quoted = one.replace("'", "''")
        out = f"replace({out}, '{quoted}', ' ')"
    return f"(' ' || {out} || ' ')"


def _token_pattern(value: Any) -> str:
    """Return the GLOB pattern of tokens in a row; * stands for anything."""
    if value is None or not str(value).strip():
        raise invalid("A filter with this operator needs a value.")
    plain = "".join(" " if one in SEPARATORS + "?[]" else one for one in str(value).casefold())
    tokens = " ".join(plain.split())
    return f"* {tokens} *".replace("* * ", "* ").replace(" * *", " *")


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
