"""Read the expressions of $filter and of $apply's filter: text in, a tree out. What it means is decided elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from crm_sync.emulators.dynamics.protocol import ODataError

TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')"
    r'|(?P<quoted>"[^"]*")'
    r"|(?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
    r"|(?P<stamp>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)?)"
    r"|(?P<date>\d{4}-\d\d-\d\d)"
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<alias>@\w+)"
    r"|(?P<word>\$?[A-Za-z_][\w.]*(?:/\$?[\w.]+)*)"
    r"|(?P<sign>[(),=:\[\]]))"
)
COMPARISONS: Final = frozenset({"eq", "ne", "gt", "ge", "lt", "le"})
TEXT_FUNCTIONS: Final = frozenset({"contains", "startswith", "endswith"})
CRM: Final = "Microsoft.Dynamics.CRM."
MOST_CONDITIONS: Final = 500
"""Conditions in a query (and linked entities of a fetch): limits of FetchXml, which every query becomes."""

MOST_DEPTH: Final = 100


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: `kind` is text, guid, stamp, date, number, boolean or null; `text` is without its quotes."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Path:
    """A property, maybe behind navigation properties."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """left op right."""

    operator: str
    left: Path
    right: Literal | Path


@dataclass(frozen=True, slots=True)
class TextMatch:
    """contains, startswith or endswith."""

    name: str
    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class CrmFunction:
    """Microsoft.Dynamics.CRM.<name>(PropertyName=..., ...); a list comes as a tuple."""

    name: str
    arguments: Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Quantified:
    """collection/any(x: condition) or all; without a condition `any` asks whether there is a row."""

    path: tuple[str, ...]
    every: bool
    variable: str
    condition: Expression | None


@dataclass(frozen=True, slots=True)
class Junction:
    """and / or."""

    word: str
    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """not."""

    inner: Expression


Expression = Comparison | TextMatch | CrmFunction | Quantified | Junction | Negation


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str


END: Final = Token("end", "")


def bad_syntax(detail: str) -> ODataError:
    """Return the refusal of an option that does not parse."""
    return ODataError(400, "0x80060888", f"Syntax error in the query: {detail}.")


def too_many_conditions() -> ODataError:
    """Return the refusal of a query with too many conditions."""
    return ODataError(400, "0x8004430c", "Number of conditions in query exceeded maximum limit.")


def too_deep() -> ODataError:
    """Return the refusal of a query whose conditions are nested too deeply."""
    return ODataError(400, "0x80060888", "Recursion depth exceeded allowed limit.")


def parse(text: str, aliases: Mapping[str, str] | None = None) -> Expression:
    """Parse an expression; `aliases` are the @name options of the request. Raises ODataError 400."""
    return _Parser(text, aliases or {}).parse()


class _Parser:
    """One pass over one expression."""

    def __init__(self, text: str, aliases: Mapping[str, str]) -> None:
        self._tokens = tokens(text)
        self._aliases = aliases
        self._at = 0
        self._depth = 0
        self._conditions = 0

    def parse(self) -> Expression:
        found = self._any()
        if self._peek() is not END:
            raise bad_syntax(f"'{self._peek().text}' was not expected")
        return found

    def _peek(self) -> Token:
        if self._at >= len(self._tokens):
            return END
        token = self._tokens[self._at]
        if token.kind == "alias":
            if token.text not in self._aliases:
                raise bad_syntax(f"the parameter alias {token.text} has no value")
            value = tokens(self._aliases[token.text])
            if any(one.kind == "alias" for one in value):
                raise bad_syntax(f"the parameter alias {token.text} stands for another")
            self._tokens[self._at : self._at + 1] = value
            return self._peek()
        return token

    def _take(self, text: str | None = None) -> Token:
        token = self._peek()
        if token is END or (text is not None and token.text != text):
            raise bad_syntax(f"'{text or 'a term'}' expected, '{token.text}' found")
        self._at += 1
        return token

    def _any(self) -> Expression:
        return self._junction("or", self._all)

    def _all(self) -> Expression:
        return self._junction("and", self._one)

    def _junction(self, word: str, member: object) -> Expression:
        assert callable(member)
        parts = [member()]
        while self._peek() == Token("word", word):
            self._at += 1
            parts.append(member())
        return parts[0] if len(parts) == 1 else Junction(word, tuple(parts))

    def _one(self) -> Expression:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise too_deep()
        found = self._term()
        self._depth -= 1
        return found

    def _term(self) -> Expression:
        token = self._take()
        if token == Token("word", "not"):
            return Negation(self._one())
        if token == Token("sign", "("):
            inner = self._any()
            self._take(")")
            return inner
        if token.kind != "word":
            raise bad_syntax(f"a column expected, '{token.text}' found")
        self._conditions += 1
        if self._conditions > MOST_CONDITIONS:
            raise too_many_conditions()
        if self._peek() == Token("sign", "("):
            return self._function(token.text)
        return self._comparison(_path(token))

    def _comparison(self, path: Path) -> Expression:
        operator = self._take().text
        if operator not in COMPARISONS:
            raise bad_syntax(f"unknown operator '{operator}'")
        return Comparison(operator, path, self._value())

    def _value(self) -> Literal | Path:
        token = self._take()
        if token.kind == "word":
            if token.text == "null":
                return Literal("null", "")
            if token.text in ("true", "false"):
                return Literal("boolean", token.text)
            following = self._peek()
            if token.text.startswith(CRM) and following.kind == "text":
                # an enumeration's member: Microsoft.Dynamics.CRM.AttributeTypeCode'Picklist'
                self._at += 1
                return Literal("text", unquoted(following))
            return _path(token)
        if token.kind in ("text", "quoted"):
            return Literal("text", unquoted(token))
        if token.kind == "sign":
            raise bad_syntax(f"a value expected, '{token.text}' found")
        return Literal(token.kind, token.text)

    def _function(self, name: str) -> Expression:
        self._take("(")
        if name in TEXT_FUNCTIONS:
            path = _path(self._take())
            self._take(",")
            value = self._value()
            self._take(")")
            if not isinstance(value, Literal) or value.kind != "text":
                raise bad_syntax(f"{name} takes a quoted text")
            return TextMatch(name, path, value.text)
        parts = tuple(name.split("/"))
        if parts[-1] in ("any", "all"):
            return self._quantified(parts)
        if name.startswith(CRM):
            return CrmFunction(name.removeprefix(CRM), self._arguments())
        raise bad_syntax(f"an unknown function with name '{name}' was found")

    def _quantified(self, parts: tuple[str, ...]) -> Expression:
        every = parts[-1] == "all"
        if self._peek() == Token("sign", ")"):
            self._at += 1
            return Quantified(parts[:-1], every, "", None)
        variable = self._take().text
        self._take(":")
        condition = self._any()
        self._take(")")
        return Quantified(parts[:-1], every, variable, condition)

    def _arguments(self) -> dict[str, str | tuple[str, ...]]:
        out: dict[str, str | tuple[str, ...]] = {}
        while self._peek() != Token("sign", ")"):
            name = self._take().text
            self._take("=")
            if self._peek() == Token("sign", "["):
                out[name] = self._list()
            else:
                out[name] = self._plain()
            if self._peek() == Token("sign", ","):
                self._at += 1
        self._take(")")
        return out

    def _list(self) -> tuple[str, ...]:
        self._take("[")
        values: list[str] = []
        while self._peek() != Token("sign", "]"):
            values.append(self._plain())
            if self._peek() == Token("sign", ","):
                self._at += 1
        self._take("]")
        return tuple(values)

    def _plain(self) -> str:
        token = self._take()
        return unquoted(token) if token.kind in ("text", "quoted") else token.text


def tokens(text: str) -> list[Token]:
    """Split an expression into tokens. Raises ODataError 400 at the first character that starts none."""
    out: list[Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise bad_syntax(f"character '{text[position]}' at position {position}")
        out.append(Token(match.lastgroup, match.group(match.lastgroup)))
        position = match.end()
    return out


def unquoted(token: Token) -> str:
    """Return what stands between the quotes of a token."""
    inner = token.text[1:-1]
    return inner.replace("''", "'") if token.kind == "text" else inner


def _path(token: Token) -> Path:
    if token.kind != "word":
        raise bad_syntax(f"a column expected, '{token.text}' found")
    return Path(tuple(token.text.split("/")))


def split_outside(text: str, separator: str) -> list[str]:
    """Split at separators that stand in no quotes and no parentheses; empty pieces are left out."""
    out: list[str] = []
    depth, start, quoted = 0, 0, False
    for position, character in enumerate(text):
        if character == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
        elif character == separator and depth == 0:
            out.append(text[start:position])
            start = position + 1
    out.append(text[start:])
    if depth or quoted:
        raise bad_syntax(f"parentheses or quotes are not closed in '{text}'")
    return [one.strip() for one in out if one.strip()]
