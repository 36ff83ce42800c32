"""Parse SOQL into a tree. What is SOQL but not supported here raises Unsupported; what is no SOQL, MALFORMED_QUERY."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TypeVar

from crm_sync.emulators.salesforce.failures import Failure, Problem, Unsupported
from crm_sync.emulators.salesforce.soql.days import takes_number
from crm_sync.emulators.salesforce.soql.tree import (
    AGGREGATES,
    TOKEN,
    Compare,
    Function,
    Join,
    Literal,
    Node,
    Not,
    Operand,
    Order,
    Query,
    Selected,
    Token,
    is_aggregate,
    malformed,
)

MAX_LITERAL = 4_000
MAX_QUERY = 100_000
DEEPEST = 60
"""How deep parentheses may nest here: a query that SQLite can still read."""
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "N": "\n", "R": "\r", "T": "\t"}
ESCAPES |= {"\\": "\\", "'": "'", '"': '"', "%": "\\%", "_": "\\_"}
LATER = frozenset(("with", "for", "using", "update", "typeof"))
CLAUSES = frozenset(
    ("from", "where", "group", "having", "order", "limit", "offset", "with", "for", "using", "update", "all")
)
DATES = frozenset(
    ("calendar_year", "calendar_quarter", "calendar_month", "day_in_month", "day_in_week", "day_in_year", "day_only",
     "hour_in_day", "fiscal_year", "fiscal_quarter", "fiscal_month")
)  # fmt: skip
FUNCTIONS = AGGREGATES | DATES | {"tolabel", "fields"}
Found = TypeVar("Found")


def parse(text: str) -> Query:
    """Parse a query."""
    if len(text) > MAX_QUERY:
        raise Failure(400, Problem("QUERY_TOO_COMPLICATED", "SOQL statement is too long"))
    parser = _Parser(text)
    found = parser.query()
    if parser.token.kind != "end":
        raise parser.fail()
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[Token] = []
        position = depth = 0
        end = len(text.rstrip())
        while position < end:
            match = TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                at = position + len(text[position:]) - len(text[position:].lstrip())
                raise malformed(text, at, f"unexpected token: '{text[at : at + 10].split(' ')[0]}'")
            self.tokens.append(Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            position = match.end()
            depth += {"(": 1, ")": -1}.get(match["mark"] or "", 0)
            if depth > DEEPEST:
                raise Failure(400, Problem("QUERY_TOO_COMPLICATED", f"The query nests more than {DEEPEST} parentheses"))
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

    def sees(self, mark: str) -> bool:
        return self.token.kind == "mark" and self.token.text == mark

    def mark(self, mark: str) -> bool:
        if self.sees(mark):
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
        selected = [self.selected()]
        while self.mark(","):
            selected.append(self.selected())
        self.demand(self.word("from"))
        source = self.expect("name")
        alias = self.alias(after=("as",))
        if self.word("using", "scope") and not self.word("everything"):
            raise Unsupported(f"SOQL USING SCOPE {self.token.text} in: {self.text}")
        where = self.conditions() if self.word("where") else None
        if self.word("with") and not any(
            self.word(one) for one in ("security_enforced", "user_mode", "system_mode")
        ):
            raise Unsupported(f"SOQL WITH {self.token.text} in: {self.text}")
        group = self.grouping() if self.word("group", "by") else ()
        having = self.conditions() if self.word("having") else None
        order = self.ordering() if self.word("order", "by") else ()
        limit = self.whole() if self.word("limit") else None
        offset = self.whole() if self.word("offset") else 0
        if self.word("all", "rows"):
            raise malformed(self.text, self.token.at, "ALL ROWS not allowed in this context")
        made = Query(self.text, source, alias, tuple(selected), where, group, having, order, limit, offset)
        if not made.aggregated and (having is not None or any(one.alias for one in selected)):
            raise malformed(self.text, source.at, "only aggregate expressions use field aliasing")
        return made

    def whole(self) -> int:
        token = self.expect("number")
        if not re.fullmatch(r"\d{1,9}", token.text):
            raise self.fail(token)
        return int(token.text)

    def selected(self) -> Selected:
        if self.mark("("):
            return Selected(self.closed(self.query()))
        what = self.operand()
        return Selected(what, self.alias())

    def closed(self, inner: Found) -> Found:
        self.demand(self.mark(")"))
        return inner

    def alias(self, after: tuple[str, ...] = ()) -> str | None:
        named = any(self.word(one) for one in after)
        if self.token.kind == "name" and (named or self.token.text.casefold() not in CLAUSES):
            return self.expect("name").text
        return None

    def operand(self) -> Operand:
        name = self.expect("name")
        folded = name.text.casefold()
        if folded == "typeof":
            raise Unsupported(f"SOQL TYPEOF in: {self.text}")
        if not self.sees("("):
            if folded in ("from", "where"):
                raise self.fail(name)
            return name
        if folded not in FUNCTIONS:
            raise Unsupported(f"SOQL function {name.text}() in: {self.text}")
        self.position += 1
        inner = None if self.sees(")") and folded == "count" else self.operand()
        end = self.token.at + 1
        self.demand(self.mark(")"))
        if isinstance(inner, Function) and not (folded in AGGREGATES and inner.name in DATES):
            raise Unsupported(f"SOQL {name.text}({inner.name}(...)) in: {self.text}")
        return Function(folded, inner, name.at, self.text[name.at : end])

    def grouping(self) -> tuple[Operand, ...]:
        if self.token.kind == "name" and self.token.text.casefold() in ("rollup", "cube"):
            raise Unsupported(f"SOQL GROUP BY {self.token.text.upper()} in: {self.text}")
        found = [self.operand()]
        while self.mark(","):
            found.append(self.operand())
        if any(is_aggregate(one) for one in found):
            raise malformed(self.text, self.token.at, "Grouped field should not be aggregated")
        return tuple(found)

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
        negated = False
        while self.word("not"):
            negated = not negated
        found = self.closed(self.conditions()) if self.mark("(") else self.comparison(self.operand())
        return Not(found) if negated else found

    def comparison(self, left: Operand) -> Compare:
        if self.word("not", "in"):
            return Compare(left, "not in", self.listed())
        if self.word("in"):
            return Compare(left, "in", self.listed())
        for word in ("includes", "excludes"):
            if self.word(word):
                return Compare(left, word, self.values())
        if self.word("like"):
            return Compare(left, "like", self.literal())
        operator = self.expect("operator").text
        return Compare(left, "!=" if operator == "<>" else operator, self.literal())

    def listed(self) -> tuple[Literal, ...] | Query:
        following = self.tokens[self.position + 1] if self.sees("(") else self.token
        if following.kind == "name" and following.text.casefold() == "select":
            self.position += 1
            return self.closed(self.query())
        return self.values()

    def values(self) -> tuple[Literal, ...]:
        self.demand(self.mark("("))
        found = [self.literal()]
        while self.mark(","):
            found.append(self.literal())
        return self.closed(tuple(found))

    def literal(self) -> Literal:
        token = self.token
        self.position += 1
        folded = token.text.casefold()
        if token.kind == "text":
            return Literal("text", self.unescape(token))
        if token.kind == "number":
            return Literal("number", float(token.text) if "." in token.text else int(token.text))
        if token.kind == "date":
            return Literal("date", token.text)
        if token.kind == "datetime":
            return Literal("datetime", self.microseconds(token))
        if token.kind == "name" and folded in ("true", "false"):
            return Literal("boolean", folded == "true")
        if token.kind == "name" and folded == "null":
            return Literal("null", None)
        counted = takes_number(token.text) if token.kind == "name" else None
        if counted is None:
            raise self.fail(token)
        if not counted:
            return Literal("days", (token.text, None))
        self.demand(self.mark(":"))
        number = self.expect("number")
        if not re.fullmatch(r"\d{1,5}", number.text):
            raise self.fail(number)
        return Literal("days", (token.text, int(number.text)))

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
            key = self.operand()
            descending = self.word("desc") or (self.word("asc") and False)
            nulls_last = self.word("nulls", "last") or (self.word("nulls", "first") and False)
            found.append(Order(key, descending, nulls_last))
            if not self.mark(","):
                return tuple(found)
