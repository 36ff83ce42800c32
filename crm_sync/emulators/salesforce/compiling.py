"""Turn a parsed query into SQL over the state: fields, types and null rules of SOQL.

Texts compare without regard to case, ids with it. SOQL has two truth values: a comparison with a null field is false,
but for != and NOT IN, where it is true.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from crm_sync.emulators.declarations import FieldDeclaration
from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.failures import Failure, Problem
from crm_sync.emulators.salesforce.schema import COLUMNS, USER_FIELDS, Org, stamp
from crm_sync.emulators.salesforce.soql import Compare, Join, Literal, Node, Not, Query, Token, malformed
from crm_sync.emulators.state import field_sql

KINDS = {"boolean": "boolean", "int": "number", "double": "number", "currency": "number", "percent": "number"}
SQL = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


@dataclass(frozen=True, slots=True)
class Column:
    """A field as SQL: expression, declaration, and whether it can be null."""

    sql: str
    field: FieldDeclaration
    nullable: bool

    @property
    def kind(self) -> str:
        """Return the kind of literal that the field compares with."""
        if self.field.type in ("date", "datetime"):
            return self.field.type
        return KINDS.get(self.field.type, "text")

    @property
    def is_id(self) -> bool:
        """Tell whether the field holds record ids."""
        return self.field.type in ("id", "reference")


@dataclass(slots=True)
class Compiled:
    """A query as arguments of State.scan, and what to show: paths of one or two fields."""

    sobject: str
    where: str = ""
    params: list[Any] = field(default_factory=list)
    order: str = "id"
    shown: list[tuple[FieldDeclaration, ...]] = field(default_factory=list)


def no_column(query: Query, token: Token, name: str, entity: str) -> Failure:
    """Return the failure of an unknown (or hidden) field."""
    return malformed(
        query.text,
        token.at,
        f"No such column '{name}' on entity '{entity}'. If you are attempting to use a custom field, be sure to append "
        "the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate "
        "names.",
        "INVALID_FIELD",
    )


class Compiler:
    """Compiles one query for one org."""

    def __init__(self, org: Org, query: Query, sobject: str) -> None:
        self.org, self.query, self.sobject = org, query, sobject
        self.out = Compiled(sobject)

    def compile(self) -> Compiled:
        """Compile conditions, order and selection."""
        query = self.query
        for token in query.fields:
            self.out.shown.append(self.path(token))
        if query.count:
            self.path(Token("name", query.count, query.text.find(query.count)))
        if query.where is not None:
            self.out.where = self.node(query.where)
        order = [self.ordered(o.path, o.descending, o.nulls_last) for o in query.order]
        self.out.order = ", ".join([*order, "id"])
        return self.out

    def path(self, token: Token) -> tuple[FieldDeclaration, ...]:
        """Return the declarations along a path such as Name or Account.Name."""
        parts = token.text.split(".")
        if len(parts) > 1 and self.org.object(parts[0]) == self.sobject:
            parts = parts[1:]
        if len(parts) == 1:
            found = self.org.field(self.sobject, parts[0])
            if found is None:
                raise no_column(self.query, token, parts[0], self.sobject)
            return (found,)
        reference = self.org.relationship(self.sobject, parts[0])
        if reference is None:
            text = f"Didn't understand relationship '{parts[0]}' in field path."
            raise malformed(self.query.text, token.at, text, "INVALID_FIELD")
        target = str(reference.extra["target"])
        if len(parts) > 2 or self.org.object(target) is None:
            raise malformed(self.query.text, token.at, f"unsupported path {token.text}", "INVALID_FIELD")
        inner = self.org.field(target, parts[1])
        if inner is None:
            raise no_column(self.query, token, parts[1], target)
        return (reference, inner)

    def column(self, token: Token) -> Column:
        """Return a path as SQL; a parent's field is looked up by the reference."""
        path = self.path(token)
        if len(path) == 1:
            return self.own(path[0], "")
        reference, inner = path
        parent = self.own(inner, "p.")
        key = field_sql(reference.name).replace("doc", "record.doc", 1)
        target = reference.extra["target"]
        sql = f"(SELECT {parent.sql} FROM record p WHERE p.object = '{target}' AND p.id = {key})"
        return Column(sql, inner, nullable=True)

    @staticmethod
    def own(one: FieldDeclaration, table: str) -> Column:
        """Return a field of one table as SQL."""
        if one.name in COLUMNS:
            return Column(f"{table}{COLUMNS[one.name]}", one, nullable=one.name == "MasterRecordId")

        def doc(name: str) -> str:
            return field_sql(name).replace("doc", f"{table}doc", 1)

        if one.extra.get("computed"):
            first, last = doc("FirstName"), doc("LastName")
            return Column(f"trim(coalesce({first}, '') || ' ' || coalesce({last}, ''))", one, nullable=False)
        if one.type == "boolean":
            return Column(f"coalesce({doc(one.name)}, 0)", one, nullable=False)
        if one.name in USER_FIELDS:
            return Column(f"coalesce({doc(one.name)}, '{ids.lengthen(ids.USER)}')", one, nullable=False)
        return Column(doc(one.name), one, nullable=True)

    def ordered(self, token: Token, descending: bool, nulls_last: bool) -> str:
        column = self.column(token)
        if long_text(column.field):
            raise malformed(
                self.query.text,
                token.at,
                f"field '{column.field.name}' can not be sorted in a query call",
                "INVALID_FIELD",
            )
        sql = f"fold({column.sql})" if column.kind == "text" and not column.is_id else column.sql
        nulls = f" NULLS {'LAST' if nulls_last else 'FIRST'}" if column.nullable else ""
        return f"{sql}{' DESC' if descending else ''}{nulls}"

    def node(self, node: Node) -> str:
        """Compile a condition to an expression that is true or false, never null."""
        if isinstance(node, Join):
            return "(" + f" {node.word.upper()} ".join(self.node(part) for part in node.parts) + ")"
        if isinstance(node, Not):
            return f"NOT {self.node(node.inner)}"
        return self.comparison(node)

    def comparison(self, node: Compare) -> str:
        column = self.column(node.path)
        if long_text(column.field):
            text = f"field '{column.field.name}' can not be filtered in a query call"
            raise malformed(self.query.text, node.path.at, text, "INVALID_FIELD")
        if isinstance(node.value, tuple):
            return self.listed(node, column, node.value)
        if node.value.kind == "null":
            if node.operator not in ("=", "!="):
                raise self.wrong_operator(node)
            return f"({column.sql} IS {'' if node.operator == '=' else 'NOT '}NULL)"
        value = self.value(node, column, node.value)
        if node.operator == "like":
            return self.like(node, column, value)
        ordering = node.operator not in ("=", "!=")
        if ordering and column.kind == "boolean":
            raise self.wrong_operator(node)
        sql = f"{column.sql} {SQL[node.operator]} ?"
        if column.kind == "text" and not column.is_id:
            sql, value = f"fold({column.sql}) {SQL[node.operator]} ?", value.casefold()
        self.out.params.append(value)
        if not column.nullable:
            return f"({sql})"
        return f"coalesce({sql}, {int(node.operator == '!=')})"

    def like(self, node: Compare, column: Column, value: Any) -> str:
        if column.kind != "text" or column.is_id:
            raise self.wrong_operator(node)
        pattern = re.sub(r"\\(?![%_])", r"\\\\", value.casefold())  # a backslash that escapes no wildcard is one
        self.out.params.append(pattern)
        return f"coalesce(fold({column.sql}) LIKE ? ESCAPE '\\', 0)"

    def listed(self, node: Compare, column: Column, values: tuple[Literal, ...]) -> str:
        folds = column.kind == "text" and not column.is_id
        given = [self.value(node, column, one) for one in values if one.kind != "null"]
        self.out.params += [one.casefold() for one in given] if folds else given
        marks = ", ".join("?" for _ in given)
        sql = f"fold({column.sql})" if folds else column.sql
        wanted = node.operator == "in"
        null = any(one.kind == "null" for one in values)
        inside = f"coalesce({sql} IN ({marks}), {int(null)})" if column.nullable else f"({sql} IN ({marks}))"
        return inside if wanted else f"NOT {inside}"

    def value(self, node: Compare, column: Column, literal: Literal) -> Any:
        """Check a literal against the field's type and return the value to compare with."""
        kind, name = column.kind, column.field.name
        if literal.kind != kind:
            shape = {"text": "string", "number": column.field.type, "datetime": "dateTime"}.get(kind, kind)
            quotes = "should be enclosed in quotes" if kind == "text" else "should not be enclosed in quotes"
            text = f"value of filter criterion for field '{name}' must be of type {shape} and {quotes}"
            raise malformed(self.query.text, node.path.at, text, "INVALID_FIELD")
        if column.is_id:
            parsed = ids.parse(literal.value)
            if parsed is None:
                text = f"invalid ID field: {literal.value}"
                raise malformed(self.query.text, node.path.at, text, "INVALID_QUERY_FILTER_OPERATOR")
            return parsed
        if kind == "datetime" and name not in COLUMNS:
            return stamp(literal.value)
        if kind == "boolean":
            return int(literal.value)
        if kind == "text" and node.operator != "like":
            return literal.value.replace("\\%", "%").replace("\\_", "_")
        return literal.value

    def wrong_operator(self, node: Compare) -> Failure:
        return Failure(400, Problem("INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on field {node.path.text}"))


def long_text(one: FieldDeclaration) -> bool:
    """Tell whether a field is a long text area, which can be neither filtered nor sorted."""
    return one.type == "textarea" and (one.max_length or 0) > 255
