"""Turn the conditions and the order of a query into SQL over the state: types and null rules of SOQL.

Texts compare without regard to case, ids with it. SOQL has two truth values: a comparison with a null field is false,
but for != and NOT IN, where it is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import count
from typing import Any

import orjson

from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.columns import Column, column, counted, long_text
from crm_sync.emulators.salesforce.failures import Failure, Problem, Unsupported
from crm_sync.emulators.salesforce.moments import stamp
from crm_sync.emulators.salesforce.reading import visible
from crm_sync.emulators.salesforce.resolving import find_object, find_path
from crm_sync.emulators.salesforce.schema import COLUMNS, Org, key_field
from crm_sync.emulators.salesforce.soql import days
from crm_sync.emulators.salesforce.soql.parsing import DATES
from crm_sync.emulators.salesforce.soql.tree import (
    Compare,
    Join,
    Literal,
    Node,
    Not,
    Operand,
    Order,
    Query,
    Token,
    malformed,
)

OPERATORS = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
NEGATED = ("!=", "not in", "excludes")
Sql = tuple[str, list[Any]]


class Compiler:
    """Compiles one query, or one subquery, over the table `r` (or another name)."""

    def __init__(
        self, org: Org, query: Query, sobject: str, *, deleted: bool, table: str = "r",
        names: Iterator[int] | None = None,
    ) -> None:
        """Prepare; `deleted` includes the recycle bin; `names` numbers the tables of one statement."""
        self.org, self.query, self.sobject, self.deleted, self.table = org, query, sobject, deleted, table
        self.names = names or count(1)
        self._columns: dict[str, Column] = {}

    def source(self) -> Sql:
        """Return FROM and WHERE with their parameters."""
        archives = bool(self.org.label(self.sobject, "archives"))
        conditions = [
            f"{self.table}.object = '{self.sobject}'",
            visible(self.org.state, self.table, deleted=self.deleted, archives=archives),
        ]
        params: list[Any] = []
        if self.query.where is not None:
            sql, params = self.node(self.query.where)
            conditions.append(sql)
        return f"FROM record {self.table} WHERE {' AND '.join(conditions)}", params

    def order(self) -> str:
        """Return the ORDER BY of rows; ids decide where nothing else does.

        Where a condition finds few records by an index, a plus keeps SQLite from reading all of them in order instead.
        """
        keys = [self.ordered(one) for one in self.query.order]
        plus = "+" if self.selective(self.query.where) else ""
        return ", ".join(f"{plus}{key}" for key in [*keys, f"{self.table}.id"])

    def selective(self, node: Node | None) -> bool:
        """Tell whether a condition is such that an index serves it."""
        if isinstance(node, Join):
            return node.word == "and" and any(self.selective(part) for part in node.parts)
        if not isinstance(node, Compare) or not isinstance(node.left, Token):
            return False
        field = find_path(self.org, self.query, self.sobject, node.left)[0]
        if node.operator in ("=", "in") and (field.type == "reference" or key_field(field)):
            return field.name not in COLUMNS
        return COLUMNS.get(field.name) == "modified_us" and node.operator in (">", ">=", "=")

    def ordered(self, order: Order) -> str:
        found = self.operand(order.key)
        at = order.key.at
        if long_text(found.field):
            text = f"field '{found.field.name}' can not be sorted in a query call"
            raise malformed(self.query.text, at, text, "INVALID_FIELD")
        sql = f"fold({found.sql})" if found.folds else found.sql
        nulls = f" NULLS {'LAST' if order.nulls_last else 'FIRST'}" if found.nullable else ""
        return f"{sql}{' DESC' if order.descending else ''}{nulls}"

    def operand(self, operand: Operand) -> Column:
        """Return a path or a date function as SQL."""
        if isinstance(operand, Token):
            known = self._columns.get(operand.text.casefold())
            if known is None:  # the same path is the same SQL everywhere: GROUP BY depends on it
                path = find_path(self.org, self.query, self.sobject, operand)
                known = column(self.org, path, self.table, self.names)
                self._columns[operand.text.casefold()] = known
            return known
        if operand.name in DATES and operand.inner is not None:
            return counted(operand.name, self.operand(operand.inner))
        raise Unsupported(f"SOQL {operand.text} at this place in: {self.query.text}")

    def node(self, node: Node, *, negated: bool = False) -> Sql:
        """Compile a condition; below a NOT it is never null, so that NOT turns it into its opposite."""
        if isinstance(node, Join):
            parts = [self.node(part, negated=negated) for part in node.parts]
            return joined(node.word, [sql for sql, _ in parts]), [one for _, params in parts for one in params]
        if isinstance(node, Not):
            sql, params = self.node(node.inner, negated=True)
            return f"NOT {sql}", params
        sql, params, nullable = self.comparison(node)
        opposite = node.operator in NEGATED
        return (f"coalesce({sql}, {int(opposite)})" if nullable and (negated or opposite) else f"({sql})"), params

    def comparison(self, node: Compare) -> tuple[str, list[Any], bool]:
        """Return SQL, parameters, and whether it can be null."""
        found = self.operand(node.left)
        if long_text(found.field):
            text = f"field '{found.field.name}' can not be filtered in a query call"
            raise malformed(self.query.text, node.left.at, text, "INVALID_FIELD")
        if isinstance(node.value, Query):
            return self.semi_join(node, found, node.value)
        if isinstance(node.value, tuple):
            if node.operator in ("includes", "excludes"):
                return self.including(node, found, node.value)
            return self.listed(node, found, node.value)
        return self.simple(node, found, node.value)

    def simple(self, node: Compare, found: Column, literal: Literal) -> tuple[str, list[Any], bool]:
        if literal.kind == "null":
            if node.operator not in ("=", "!="):
                raise self.wrong_operator(node)
            return f"{found.sql} IS {'' if node.operator == '=' else 'NOT '}NULL", [], False
        if literal.kind == "days":
            return self.within(node, found, literal)
        value = self.value(node, found, literal)
        if node.operator == "like":
            if not found.folds:
                raise self.wrong_operator(node)
            pattern = re.sub(r"\\(?![%_])", r"\\\\", value.casefold())  # a backslash that escapes no wildcard is one
            return f"fold({found.sql}) LIKE ? ESCAPE '\\'", [pattern], found.nullable
        if node.operator not in ("=", "!=") and found.kind == "boolean":
            raise self.wrong_operator(node)
        sql, value = (f"fold({found.sql})", value.casefold()) if found.folds else (found.sql, value)
        return f"{sql} {OPERATORS[node.operator]} ?", [value], found.nullable

    def within(self, node: Compare, found: Column, literal: Literal) -> tuple[str, list[Any], bool]:
        """Compare with a date literal: the days from its first to its last."""
        if found.kind not in ("date", "datetime"):
            raise self.wrong_type(node, found)
        try:
            first, after = days.span(literal.value[0], literal.value[1], self.org.state.now_us())
        except (ValueError, OverflowError):
            raise malformed(self.query.text, node.left.at, "date literal out of range") from None
        low, high = self.day(found, first), self.day(found, after)
        one = {"<": ("<", low), ">=": (">=", low), ">": (">=", high), "<=": ("<", high)}.get(node.operator)
        if one is not None:
            return f"{found.sql} {one[0]} ?", [one[1]], found.nullable
        if node.operator not in ("=", "!="):
            raise self.wrong_operator(node)
        between = f"({found.sql} >= ? AND {found.sql} < ?)"
        return between if node.operator == "=" else f"NOT {between}", [low, high], found.nullable

    @staticmethod
    def day(found: Column, day: date) -> Any:
        if found.kind == "date":
            return day.isoformat()
        moment = days.microseconds(day)
        return moment if found.stored_us else stamp(moment)

    def listed(self, node: Compare, found: Column, values: tuple[Literal, ...]) -> tuple[str, list[Any], bool]:
        given = [self.value(node, found, one) for one in values if one.kind != "null"]
        wanted = orjson.dumps([one.casefold() for one in given] if found.folds else given).decode()
        sql = f"fold({found.sql})" if found.folds else found.sql
        inside = f"{sql} IN (SELECT value FROM json_each(?))"
        if found.nullable and len(given) < len(values):
            inside, nullable = f"(coalesce({inside}, 0) OR {found.sql} IS NULL)", False
        else:
            nullable = found.nullable
        return (inside if node.operator == "in" else f"NOT {inside}"), [wanted], nullable

    def including(self, node: Compare, found: Column, values: tuple[Literal, ...]) -> tuple[str, list[Any], bool]:
        """Compile INCLUDES and EXCLUDES: each literal is a set of values, separated by semicolons."""
        if found.field.type != "multipicklist":
            raise self.wrong_operator(node)
        params: list[Any] = []
        sets = []
        for one in values:
            parts = [part.strip().casefold() for part in str(self.value(node, found, one)).split(";") if part.strip()]
            params += [f";{part};" for part in parts]
            sets.append(" AND ".join(f"instr(';' || fold({found.sql}) || ';', ?)" for _ in parts))
        inside = "(" + " OR ".join(f"({one})" for one in sets) + ")"
        return (inside if node.operator == "includes" else f"NOT {inside}"), params, found.nullable

    def semi_join(self, node: Compare, found: Column, query: Query) -> tuple[str, list[Any], bool]:
        """Compile IN (SELECT ...): ids that other records hold."""
        if not found.is_id or len(query.selected) != 1 or query.limit or query.order or query.group:
            text = "The inner and outer selects should select an ID or a reference, and only one field"
            raise malformed(self.query.text, node.left.at, text)
        inner = Compiler(
            self.org, query, find_object(self.org, query), deleted=self.deleted, table=f"s{next(self.names)}",
            names=self.names,
        )  # fmt: skip
        what = query.selected[0].what
        selected = inner.operand(what) if isinstance(what, Token) else None
        if selected is None or not selected.is_id:
            text = "The inner select field of a semi-join must be an ID or a reference"
            raise malformed(self.query.text, query.source.at, text)
        source, params = inner.source()
        sql = f"(SELECT {selected.sql} {source} AND {selected.sql} IS NOT NULL)"
        return f"{found.sql} {'IN' if node.operator == 'in' else 'NOT IN'} {sql}", params, found.nullable

    def value(self, node: Compare, found: Column, literal: Literal) -> Any:
        """Check a literal against the field's type and return the value to compare with."""
        kind = found.kind
        if literal.kind != kind:
            raise self.wrong_type(node, found)
        if found.is_id and node.operator != "like":
            parsed = ids.parse(literal.value)
            if parsed is None:
                text = f"invalid ID field: {literal.value}"
                raise malformed(self.query.text, node.left.at, text, "INVALID_QUERY_FILTER_OPERATOR")
            return parsed
        if kind == "datetime" and not found.stored_us:
            return stamp(literal.value)
        if kind == "boolean":
            return int(literal.value)
        if kind == "text" and node.operator != "like":
            return literal.value.replace("\\%", "%").replace("\\_", "_")
        return literal.value

    def wrong_type(self, node: Compare, found: Column) -> Failure:
        kind, name = found.kind, found.field.name
        shape = {"text": "string", "number": found.field.type, "datetime": "dateTime"}.get(kind, kind)
        quotes = "should be enclosed in quotes" if kind == "text" else "should not be enclosed in quotes"
        text = f"value of filter criterion for field '{name}' must be of type {shape} and {quotes}"
        return malformed(self.query.text, node.left.at, text, "INVALID_FIELD")

    def wrong_operator(self, node: Compare) -> Failure:
        name = node.left.text
        return Failure(400, Problem("INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on field {name}"))


def joined(word: str, parts: Sequence[str]) -> str:
    """Join conditions as a balanced tree: SQLite takes expressions of a limited depth, SOQL conditions in thousands."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    return f"({joined(word, parts[:half])} {word.upper()} {joined(word, parts[half:])})"
