"""Translate expressions into SQL over `record`; what Dataverse refuses is refused, the rest is Unsupported.

A navigation property becomes a subquery over the alias n1, n2, ...; the row itself is `record` (or the alias given).
Texts compare without regard to case, and % and _ are wildcards in contains, startswith and endswith (Web API guide,
Filter rows); `ne` also finds rows without a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from crm_sync.emulators.dynamics.crm_functions import crm_function
from crm_sync.emulators.dynamics.expressions import (
    Comparison,
    CrmFunction,
    Expression,
    Junction,
    Literal,
    Negation,
    Path,
    Quantified,
    TextMatch,
    bad_syntax,
    parse,
)
from crm_sync.emulators.dynamics.protocol import ODataError, Unsupported, no_property
from crm_sync.emulators.dynamics.tables import GUID, LOOKUPS, Column, ManyToMany, OneToMany, Table, Tables
from crm_sync.emulators.dynamics.values import moment_us, stamp

SIGNS: Final = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
PATTERNS: Final = {"contains": "%{}%", "startswith": "{}%", "endswith": "%{}"}
NUMBERS: Final = frozenset({"Integer", "BigInt", "Picklist", "State", "Status", "Decimal", "Double", "Money"})


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL and its parameters."""

    sql: str
    params: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A column somewhere: its SQL, with what stands in it as parameters."""

    column: Column
    sql: str


class Compiler:
    """Translates the expressions of one request; `keys` are the columns that an active alternate key makes unique."""

    def __init__(self, tables: Tables, keys: Sequence[str] = (), now_us: int = 0) -> None:
        self._tables = tables
        self._keys = frozenset(keys)
        self._now_us = now_us
        self._aliases = 0

    def where(self, table: Table, expression: Expression, alias: str = "record") -> Condition:
        """Return an expression over rows of a table as SQL."""
        return self._one(_Scope(table, alias, {}), expression)

    def _one(self, scope: _Scope, node: Expression) -> Condition:
        if isinstance(node, Junction):
            return _join(f" {node.word.upper()} ", [self._one(scope, part) for part in node.parts])
        if isinstance(node, Negation):
            inner = self._one(scope, node.inner)
            return Condition(f"NOT coalesce({inner.sql}, 0)", inner.params)
        if isinstance(node, Comparison):
            return self._comparison(scope, node)
        if isinstance(node, TextMatch):
            return self._text(scope, node)
        if isinstance(node, CrmFunction):
            return self._function(scope, node)
        return self._quantified(scope, node)

    # -- where a path leads

    def _place(self, scope: _Scope, path: Path, *, logical: bool = False) -> Place:
        parts = list(path.parts)
        table, alias = scope.table, scope.alias
        if parts[0] in scope.variables and len(parts) > 1:
            table, alias = scope.variables[parts.pop(0)]
        return self.reach(table, alias, parts, logical=logical)

    def reach(self, table: Table, alias: str, parts: Sequence[str], *, logical: bool = False) -> Place:
        """Return the column at the end of a path of navigation properties from a row under an alias.

        `logical`: a lookup may also be called by its logical name, as Dataverse's own functions call it.
        """
        if len(parts) == 1:
            column = (table.logical_column(parts[0]) if logical else None) or table.column(parts[0])
            return Place(column, column.at(alias))
        found = table.navigation.get(parts[0])
        if found is None:
            raise no_property(parts[0], table.logical)
        lookup, target = found
        inner = self._alias()
        place = self.reach(self._tables.table(target), inner, parts[1:], logical=logical)
        sql = (
            f"(SELECT {place.sql} FROM record {inner} WHERE {inner}.object = '{target}' AND NOT {inner}.deleted"
            f" AND {inner}.id = {lookup.at(alias)} AND {lookup.points_to(alias, target)})"
        )
        return Place(place.column, sql)

    def _alias(self) -> str:
        self._aliases += 1
        return f"n{self._aliases}"

    # -- comparisons

    def _comparison(self, scope: _Scope, node: Comparison) -> Condition:
        place = self._place(scope, node.left)
        if isinstance(node.right, Path):
            return self._columns(place, node.operator, self._place(scope, node.right))
        if node.right.kind == "null":
            if node.operator not in ("eq", "ne"):
                raise bad_syntax("null only compares by eq and ne")
            return Condition(f"{place.sql} IS {'NOT ' if node.operator == 'ne' else ''}NULL")
        value = literal(place.column, node.right)
        if node.operator == "eq" and self._keyed(scope, node.left):
            return self._by_key(scope.table, place.column, [value])
        folded = fold(place)
        if node.operator == "ne":
            return Condition(f"{folded} IS NOT ?", (value,))
        return Condition(f"{folded} {SIGNS[node.operator]} ?", (value,))

    @staticmethod
    def _columns(left: Place, operator: str, right: Place) -> Condition:
        if left.column.textual != right.column.textual:
            raise _incompatible(left.column, f"the property '{right.column.name}'")
        return Condition(f"{fold(left)} {SIGNS[operator]} {fold(right)}")

    def _text(self, scope: _Scope, node: TextMatch) -> Condition:
        place = self._place(scope, node.path)
        if not place.column.textual:
            raise _incompatible(place.column, f"a text in {node.name}")
        pattern = PATTERNS[node.name].format(node.text.casefold())
        return Condition(f"{fold(place)} LIKE ?", (pattern,))

    def _function(self, scope: _Scope, node: CrmFunction) -> Condition:
        given = node.arguments.get("PropertyName")
        if not isinstance(given, str):
            raise bad_syntax(f"the function {node.name} needs a PropertyName")
        place = self._place(scope, Path(tuple(given.split("/"))), logical=True)
        if node.name in ("In", "NotIn"):
            return self._in(scope, node, place, given)
        if node.name in ("EqualUserId", "NotEqualUserId", "EqualBusinessId", "NotEqualBusinessId"):
            own = self._tables.user if node.name.endswith("UserId") else self._tables.business_unit
            return Condition(f"{place.sql} IS {'NOT ' if node.name.startswith('Not') else ''}?", (own,))
        sql, params = crm_function(node, place.column, fold(place), self._now_us, literal)
        return Condition(sql, params)

    def _in(self, scope: _Scope, node: CrmFunction, place: Place, name: str) -> Condition:
        texts = node.arguments.get("PropertyValues")
        if not isinstance(texts, tuple) or not texts:
            raise bad_syntax(f"the function {node.name} needs PropertyValues, a list")
        values = [literal(place.column, guess(place.column, text)) for text in texts]
        if node.name == "In" and self._keyed(scope, Path((name,))):
            return self._by_key(scope.table, place.column, values)
        marks = ",".join("?" * len(values))
        return Condition(f"{fold(place)} {'' if node.name == 'In' else 'NOT '}IN ({marks})", tuple(values))

    def _keyed(self, scope: _Scope, path: Path) -> bool:
        return scope.alias == "record" and len(path.parts) == 1 and path.parts[0] in self._keys

    @staticmethod
    def _by_key(table: Table, column: Column, values: Sequence[Any]) -> Condition:
        """Look alternate keys up in the table of unique values, which is indexed."""
        marks = ",".join("?" * len(values))
        return Condition(
            "record.id IN (SELECT u.id FROM unique_value u"
            f" WHERE u.object = ? AND u.field = ? AND u.value IN ({marks}))",
            (table.logical, column.logical, *map(str, values)),
        )

    # -- any and all

    def _quantified(self, scope: _Scope, node: Quantified) -> Condition:
        parts = list(node.path)
        table, alias = scope.table, scope.alias
        if parts[0] in scope.variables and len(parts) > 1:
            table, alias = scope.variables[parts.pop(0)]
        if len(parts) > 1:
            raise Unsupported(f"any and all behind the navigation property {parts[0]}")
        link = self._tables.collections(table.logical).get(parts[0])
        if link is None:
            raise no_property(parts[0], table.logical)
        inner = self._alias()
        other, sql = self._members(table, alias, link, inner)
        if node.condition is None:
            return Condition(f"EXISTS ({sql})")
        below = _Scope(other, inner, {**scope.variables, node.variable: (other, inner)})
        condition = self._one(below, node.condition)
        if node.every:
            return Condition(f"NOT EXISTS ({sql} AND NOT coalesce({condition.sql}, 0))", condition.params)
        return Condition(f"EXISTS ({sql} AND {condition.sql})", condition.params)

    def _members(self, table: Table, alias: str, link: OneToMany | ManyToMany, inner: str) -> tuple[Table, str]:
        if isinstance(link, OneToMany):
            child = self._tables.table(link.referencing)
            sql = (
                f"SELECT 1 FROM record {inner} WHERE {inner}.object = '{child.logical}' AND NOT {inner}.deleted"
                f" AND {link.column.at(inner)} = {alias}.id AND {link.column.points_to(inner, table.logical)}"
            )
            return child, sql
        other = self._tables.table(link.other(table.logical))
        sql = (
            f"SELECT 1 FROM record {inner} WHERE {inner}.object = '{other.logical}' AND NOT {inner}.deleted"
            f" AND {inner}.id IN (SELECT a.to_id FROM association a WHERE a.from_object = '{table.logical}'"
            f" AND a.to_object = '{other.logical}' AND a.from_id = {alias}.id)"
        )
        return other, sql


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where an expression stands: the table and alias of its rows, and the variables of any and all around it."""

    table: Table
    alias: str
    variables: Mapping[str, tuple[Table, str]]


def ordering(table: Table, text: str, aliases: Mapping[str, str] | None = None) -> list[tuple[Column, bool]]:
    """Return an $orderby as (column, descending); a parameter alias may stand for a column."""
    out: list[tuple[Column, bool]] = []
    for term in text.split(","):
        words = [(aliases or {}).get(word, word) for word in term.split()]
        if not 1 <= len(words) <= 2 or (len(words) == 2 and words[1] not in ("asc", "desc")):
            raise bad_syntax(f"'{term}' is not an $orderby term")
        if "/" in words[0]:
            raise Unsupported(f"$orderby over a navigation property ({words[0]})")
        out.append((table.column(words[0]), words[-1] == "desc"))
    return out


def filtered(
    tables: Tables, table: Table, text: str, aliases: Mapping[str, str], keys: Sequence[str], now_us: int
) -> Condition:
    """Return a $filter as SQL over `record`."""
    return Compiler(tables, keys, now_us).where(table, parse(text, aliases))


def fold(place: Place) -> str:
    """Return the SQL that a column compares and sorts by."""
    return f"fold({place.sql})" if place.column.textual else place.sql


def sort_key(column: Column) -> str:
    """Return the SQL that a column of the row itself sorts by."""
    return fold(Place(column, column.at()))


def _join(word: str, parts: list[Condition]) -> Condition:
    return Condition("(" + word.join(one.sql for one in parts) + ")", tuple(p for one in parts for p in one.params))


def guess(column: Column, text: str) -> Literal:
    """Return one of a function's values, which are quoted whatever the column's type is, as a literal."""
    if column.textual:
        return Literal("text", text)
    if GUID.fullmatch(text):
        return Literal("guid", text)
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return Literal("number", text)
    if text.lower() in ("true", "false"):
        return Literal("boolean", text.lower())
    return Literal("date" if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else "stamp", text)


def literal(column: Column, given: Literal) -> Any:
    """Return a literal as the column compares. Raises ODataError where the types do not go together."""
    kind, text = given.kind, given.text
    if column.textual and kind == "text":
        return text.casefold()
    if column.kind == "Uniqueidentifier" or column.kind in LOOKUPS:
        if kind == "guid" or (kind == "text" and GUID.fullmatch(text)):
            return text.lower()
    elif column.kind == "Boolean" and kind == "boolean":
        return int(text == "true")
    elif column.kind == "DateTime" and kind in ("date", "stamp"):
        found = _moment(column, given)
        if found is not None:
            return found
    elif column.kind in NUMBERS and kind == "number":
        whole = re.fullmatch(r"-?\d{1,18}", text)  # beyond that a number fits no column, and no integer of SQL
        return int(text) if whole else float(text)
    raise _incompatible(column, f"the literal {text}")


def _moment(column: Column, given: Literal) -> Any:
    """Return a date or a moment as the column's SQL has it: a text, or microseconds for the stamps."""
    if column.date_only:
        return given.text[:10]
    text = f"{given.text}T00:00:00Z" if given.kind == "date" else given.text
    us = moment_us(text if re.search(r"(Z|[+-]\d\d:\d\d)$", text) else f"{text}Z")
    if us is None or column.moment:
        return us
    return stamp(us)


def _incompatible(column: Column, with_what: str) -> ODataError:
    return ODataError(
        400,
        "0x80060888",
        (
            "A binary operator with incompatible types was detected. Found operand types for operator kind: "
            f"{with_what} and the property '{column.name}' ({column.kind})."
        ),
    )
