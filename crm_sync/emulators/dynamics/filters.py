"""Translate $filter and $orderby into SQL over `record`; what Dataverse refuses is refused, the rest is Unsupported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from crm_sync.emulators.dynamics.protocol import ODataError, Unsupported
from crm_sync.emulators.dynamics.tables import GUID, Column, Table, moment_us

TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')"
    r"|(?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
    r"|(?P<stamp>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d))"
    r"|(?P<date>\d{4}-\d\d-\d\d)"
    r"|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<word>[A-Za-z_][\w.]*(?:/[\w.]+)*)"
    r"|(?P<sign>[(),=\[\]]))"
)
COMPARISONS: Final = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
TEXT_FUNCTIONS: Final = {"contains": "%{}%", "startswith": "{}%", "endswith": "%{}"}
CRM: Final = "Microsoft.Dynamics.CRM."


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL and its parameters."""

    sql: str
    params: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str


def bad_syntax(detail: str) -> ODataError:
    """Return the refusal of an option that does not parse."""
    return ODataError(400, "0x80060888", f"Syntax error in the query: {detail}.")


class _Parser:
    """One pass over one $filter."""

    def __init__(self, table: Table, text: str, keys: Sequence[str]) -> None:
        self._table = table
        self._keys = frozenset(keys)
        self._tokens = _tokens(text)
        self._at = 0

    def parse(self) -> Condition:
        found = self._any()
        if self._at < len(self._tokens):
            raise bad_syntax(f"'{self._peek().text}' was not expected")
        return found

    def _peek(self) -> Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else Token("end", "")

    def _take(self, text: str | None = None) -> Token:
        token = self._peek()
        if token.kind == "end" or (text is not None and token.text != text):
            raise bad_syntax(f"'{text or 'a term'}' expected, '{token.text}' found")
        self._at += 1
        return token

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._peek() == Token("word", "or"):
            self._at += 1
            parts.append(self._all())
        return _join(" OR ", parts)

    def _all(self) -> Condition:
        parts = [self._one()]
        while self._peek() == Token("word", "and"):
            self._at += 1
            parts.append(self._one())
        return _join(" AND ", parts)

    def _one(self) -> Condition:
        token = self._take()
        if token == Token("word", "not"):
            inner = self._one()
            return Condition(f"NOT coalesce({inner.sql}, 0)", inner.params)
        if token == Token("sign", "("):
            inner = self._any()
            self._take(")")
            return inner
        if token.kind != "word":
            raise bad_syntax(f"a column expected, '{token.text}' found")
        if self._peek() == Token("sign", "("):
            return self._function(token.text)
        return self._comparison(token.text)

    def _comparison(self, name: str) -> Condition:
        if "/" in name:
            raise Unsupported(f"filters over a navigation property ({name})")
        column = self._table.column(name)
        operator = self._take().text
        if operator not in COMPARISONS:
            raise bad_syntax(f"unknown operator '{operator}'")
        literal = self._take()
        if literal == Token("word", "null"):
            if operator not in ("eq", "ne"):
                raise bad_syntax("null only compares by eq and ne")
            return Condition(f"{column.sql} IS {'NOT ' if operator == 'ne' else ''}NULL")
        value = _literal(column, literal)
        if column.name in self._keys and operator == "eq":
            return self._by_key(column, [value])
        if operator == "ne":
            return Condition(f"{_folded(column)} IS NOT ?", (value,))
        return Condition(f"{_folded(column)} {COMPARISONS[operator]} ?", (value,))

    def _function(self, name: str) -> Condition:
        self._take("(")
        if name in TEXT_FUNCTIONS:
            column = self._table.column(self._take().text)
            self._take(",")
            value = str(_literal(column, self._take()))
            self._take(")")
            escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            return Condition(f"{_folded(column)} LIKE ? ESCAPE '\\'", (TEXT_FUNCTIONS[name].format(escaped),))
        if name in (f"{CRM}In", f"{CRM}NotIn"):
            return self._in(negated=name.endswith("NotIn"))
        raise Unsupported(f"the filter function {name}")

    def _in(self, *, negated: bool) -> Condition:
        self._take("PropertyName")
        self._take("=")
        column = self._table.column(_unquoted(self._take()))
        self._take(",")
        self._take("PropertyValues")
        self._take("=")
        self._take("[")
        values = [_member(column, self._take())]
        while self._peek() == Token("sign", ","):
            self._at += 1
            values.append(_member(column, self._take()))
        self._take("]")
        self._take(")")
        if column.name in self._keys and not negated:
            return self._by_key(column, values)
        marks = ",".join("?" * len(values))
        return Condition(f"{_folded(column)} {'NOT ' if negated else ''}IN ({marks})", tuple(values))

    def _by_key(self, column: Column, values: Sequence[Any]) -> Condition:
        """Look alternate keys up in the table of unique values, which is indexed."""
        marks = ",".join("?" * len(values))
        return Condition(
            f"id IN (SELECT u.id FROM unique_value u WHERE u.object = ? AND u.field = ? AND u.value IN ({marks}))",
            (self._table.logical, column.logical, *map(str, values)),
        )


def condition(table: Table, text: str, keys: Sequence[str] = ()) -> Condition:
    """Return a $filter as SQL; `keys` are the columns that an active alternate key makes unique."""
    return _Parser(table, text, keys).parse()


def ordering(table: Table, text: str) -> list[tuple[Column, bool]]:
    """Return an $orderby as (column, descending)."""
    out: list[tuple[Column, bool]] = []
    for term in text.split(","):
        words = term.split()
        if not 1 <= len(words) <= 2 or (len(words) == 2 and words[1] not in ("asc", "desc")):
            raise bad_syntax(f"'{term}' is not an $orderby term")
        if "/" in words[0]:
            raise Unsupported(f"$orderby over a navigation property ({words[0]})")
        out.append((table.column(words[0]), words[-1] == "desc"))
    return out


def sort_key(column: Column) -> str:
    """Return the SQL expression that a column sorts by."""
    return _folded(column)


def _join(word: str, parts: list[Condition]) -> Condition:
    if len(parts) == 1:
        return parts[0]
    return Condition("(" + word.join(one.sql for one in parts) + ")", tuple(p for one in parts for p in one.params))


def _tokens(text: str) -> list[Token]:
    out: list[Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise bad_syntax(f"character '{text[position]}' at position {position}")
        out.append(Token(match.lastgroup, match.group(match.lastgroup)))
        position = match.end()
    return out


def _unquoted(token: Token) -> str:
    if token.kind != "text":
        raise bad_syntax(f"a quoted text expected, '{token.text}' found")
    return token.text[1:-1].replace("''", "'")


def _folded(column: Column) -> str:
    return f"fold({column.sql})" if column.textual else column.sql


def _member(column: Column, token: Token) -> Any:
    """Return one of PropertyValues: quoted whatever the column's type is."""
    text = _unquoted(token)
    if column.textual:
        return text.casefold()
    kinds = "guid" if GUID.fullmatch(text) else "number" if re.fullmatch(r"-?\d+", text) else "stamp"
    return _literal(column, Token(kinds, text))


def _literal(column: Column, token: Token) -> Any:
    """Return a literal as the column compares. Raises ODataError where the types do not go together."""
    kind = token.kind
    if column.textual and kind == "text":
        return _unquoted(token).casefold()
    if column.kind in ("Uniqueidentifier", "Lookup", "Customer", "Owner") and kind == "guid":
        return token.text.lower()
    if column.kind == "Boolean" and token.text in ("true", "false"):
        return int(token.text == "true")
    if column.kind == "DateTime":
        if column.date_only and kind == "date":
            return token.text
        if not column.date_only and kind in ("stamp", "date"):
            us = moment_us(token.text if kind == "stamp" else f"{token.text}T00:00:00Z")
            if us is not None:
                return us
    if (
        column.kind in ("Integer", "BigInt", "Picklist", "State", "Status", "Decimal", "Double", "Money")
        and kind == "number"
    ):
        return float(token.text) if "." in token.text else int(token.text)
    raise ODataError(
        400,
        "0x80060888",
        (
            "A binary operator with incompatible types was detected. Found operand types for operator kind: "
            f"the literal {token.text} and the property '{column.name}' ({column.kind})."
        ),
    )
