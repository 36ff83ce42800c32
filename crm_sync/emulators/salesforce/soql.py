"""Parse SOQL into a tree. What is SOQL but not supported here raises Unsupported; what is no SOQL, MALFORMED_QUERY."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from crm_sync.emulators.salesforce.failures import Failure, Problem, Unsupported

MAX_LITERAL = 4_000
MAX_QUERY = 100_000
TOKEN = re.compile(
    r"""\s*(?:
      (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
    | (?P<operator><=|>=|!=|<>|=|<|>)
    | (?P<mark>[(),:])
    )""",
    re.VERBOSE,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
ESCAPES |= {"\\": "\\", "'": "'", '"': '"', "%": "\\%", "_": "\\_"}
LATER = frozenset(("group", "having", "with", "for", "using", "update", "typeof", "all"))
DATE_WORDS = re.compile(r"(today|yesterday|tomorrow|(last|this|next)_\w+|n_\w+)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value: kind is text, number, date, datetime, boolean or null; a datetime is microseconds since 1970 UTC."""

    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class Compare:
    """path operator value; for IN and NOT IN the value is a tuple of literals."""

    path: Token
    operator: str
    value: Literal | tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Not:
    inner: Node


@dataclass(frozen=True, slots=True)
class Join:
    """Several conditions, all AND or all OR."""

    word: str
    parts: tuple[Node, ...]


Node = Compare | Not | Join


@dataclass(frozen=True, slots=True)
class Order:
    path: Token
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query. `count`: None, "" for COUNT(), else the field in COUNT(field)."""

    text: str
    sobject: Token
    fields: tuple[Token, ...]
    count: str | None
    where: Node | None
    order: tuple[Order, ...]
    limit: int | None
    offset: int


def malformed(text: str, at: int, message: str, code: str = "MALFORMED_QUERY") -> Failure:
    """Return the failure that points at a place in the query, as the API words it."""
    window = text[max(0, at - 40) : at + 40]
    caret = " " * (at - max(0, at - 40)) + "^"
    return Failure(400, Problem(code, f"\n{window}\n{caret}\nERROR at Row:1:Column:{at + 1}\n{message}"))


def parse(text: str) -> Query:
    """Parse a query."""
    if len(text) > MAX_QUERY:
        raise Failure(400, Problem("QUERY_TOO_COMPLICATED", "SOQL statement is too long"))
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[Token] = []
        position = 0
        end = len(text.rstrip())
        while position < end:
            match = TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                at = position + len(text[position:]) - len(text[position:].lstrip())
                raise malformed(text, at, f"unexpected token: '{text[at : at + 10].split(' ')[0]}'")
            self.tokens.append(Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            position = match.end()
        self.tokens.append(Token("end", "<EOF>", end))
        self.position = 0

    # -- tokens

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def fail(self, token: Token | None = None) -> Failure:
        token = token or self.token
        if token.kind == "name" and token.text.casefold() in LATER:
            raise Unsupported(f"SOQL {token.text.upper()} in: {self.text}")
        return malformed(self.text, token.at, f"unexpected token: '{token.text}'")

    def word(self, *words: str) -> bool:
        """Consume these words if they come next."""
        ahead = self.tokens[self.position : self.position + len(words)]
        if [t.text.casefold() if t.kind == "name" else "" for t in ahead] != list(words):
            return False
        self.position += len(words)
        return True

    def mark(self, mark: str) -> bool:
        if self.token.kind == "mark" and self.token.text == mark:
            self.position += 1
            return True
        return False

    def expect(self, kind: str) -> Token:
        token = self.token
        if token.kind != kind:
            raise self.fail()
        self.position += 1
        return token

    def demand(self, done: bool) -> None:
        if not done:
            raise self.fail()

    # -- grammar

    def query(self) -> Query:
        self.demand(self.word("select"))
        count, fields = self.selection()
        self.demand(self.word("from"))
        sobject = self.expect("name")
        where = self.conditions() if self.word("where") else None
        order = self.ordering() if self.word("order", "by") else ()
        limit = int(self.expect("number").text) if self.word("limit") else None
        offset = int(self.expect("number").text) if self.word("offset") else 0
        if self.token.kind != "end":
            raise self.fail()
        return Query(self.text, sobject, fields, count, where, order, limit, offset)

    def selection(self) -> tuple[str | None, tuple[Token, ...]]:
        fields: list[Token] = []
        while True:
            if self.token.kind == "mark" and self.token.text == "(":
                raise Unsupported(f"SOQL child subqueries in: {self.text}")
            name = self.expect("name")
            if name.text.casefold() == "typeof":
                raise Unsupported(f"SOQL TYPEOF in: {self.text}")
            if self.mark("("):
                return self.function(name, bool(fields)), ()
            fields.append(name)
            if not self.mark(","):
                return None, tuple(fields)

    def function(self, name: Token, mixed: bool) -> str:
        inner = self.expect("name").text if self.token.kind == "name" else ""
        self.demand(self.mark(")"))
        follows = self.token.kind == "mark"
        if name.text.casefold() != "count" or mixed or follows:
            raise Unsupported(f"SOQL {name.text}() beside other fields, or at all, in: {self.text}")
        return inner

    def conditions(self) -> Node:
        parts = [self.condition()]
        joined = ""
        while self.token.kind == "name" and self.token.text.casefold() in ("and", "or"):
            word = self.token.text.casefold()
            if joined and word != joined:  # SOQL wants parentheses where AND and OR meet
                raise self.fail()
            joined = word
            self.position += 1
            parts.append(self.condition())
        return Join(joined, tuple(parts)) if joined else parts[0]

    def condition(self) -> Node:
        if self.word("not"):
            return Not(self.condition())
        if self.mark("("):
            inner = self.conditions()
            self.demand(self.mark(")"))
            return inner
        path = self.expect("name")
        if self.token.kind == "mark" and self.token.text == "(":
            raise Unsupported(f"SOQL function {path.text}() in a condition: {self.text}")
        return self.comparison(path)

    def comparison(self, path: Token) -> Compare:
        if self.word("not", "in"):
            return Compare(path, "not in", self.listed())
        if self.word("in"):
            return Compare(path, "in", self.listed())
        if self.word("like"):
            return Compare(path, "like", self.literal())
        if self.token.kind == "name" and self.token.text.casefold() in ("includes", "excludes"):
            raise Unsupported(f"SOQL {self.token.text.upper()} in: {self.text}")
        operator = self.expect("operator").text
        return Compare(path, "!=" if operator == "<>" else operator, self.literal())

    def listed(self) -> tuple[Literal, ...]:
        self.demand(self.mark("("))
        if self.token.kind == "name" and self.token.text.casefold() == "select":
            raise Unsupported(f"SOQL semi-joins in: {self.text}")
        found = [self.literal()]
        while self.mark(","):
            found.append(self.literal())
        self.demand(self.mark(")"))
        return tuple(found)

    def literal(self) -> Literal:
        token = self.token
        self.position += 1
        if token.kind == "text":
            return Literal("text", self.unescape(token))
        if token.kind == "number":
            return Literal("number", float(token.text) if "." in token.text else int(token.text))
        if token.kind == "date":
            return Literal("date", token.text)
        if token.kind == "datetime":
            return Literal("datetime", self.microseconds(token))
        if token.kind == "name" and token.text.casefold() in ("true", "false"):
            return Literal("boolean", token.text.casefold() == "true")
        if token.kind == "name" and token.text.casefold() == "null":
            return Literal("null", None)
        if token.kind == "name" and DATE_WORDS.match(token.text):
            raise Unsupported(f"SOQL date literal {token.text} in: {self.text}")
        raise self.fail(token)

    def unescape(self, token: Token) -> str:
        """Resolve escapes; \\% and \\_ stay, since LIKE needs to tell them apart."""

        def one(match: re.Match[str]) -> str:
            if match[1] not in ESCAPES:
                raise malformed(self.text, token.at, f"Illegal string literal: Invalid string escape \\{match[1]}")
            return ESCAPES[match[1]]

        text = re.sub(r"\\(.)", one, token.text[1:-1], flags=re.DOTALL)
        if len(text) > MAX_LITERAL:
            raise malformed(self.text, token.at, "String literal exceeds the maximum length of 4000 characters")
        return text

    def microseconds(self, token: Token) -> int:
        try:
            moment = datetime.fromisoformat(token.text).astimezone(UTC)
        except ValueError:
            raise malformed(self.text, token.at, f"invalid datetime: {token.text}") from None
        return int(moment.timestamp()) * 1_000_000 + moment.microsecond

    def ordering(self) -> tuple[Order, ...]:
        found: list[Order] = []
        while True:
            path = self.expect("name")
            descending = self.word("desc") or (self.word("asc") and False)
            nulls_last = self.word("nulls", "last") or (self.word("nulls", "first") and False)
            found.append(Order(path, descending, nulls_last))
            if not self.mark(","):
                return tuple(found)
