"""Answer queries with COUNT, SUM, AVG, MIN, MAX and GROUP BY."""

from __future__ import annotations

from typing import Any

from crm_sync.emulators.salesforce.columns import Column, long_text
from crm_sync.emulators.salesforce.compiling import OPERATORS, Compiler, Sql, joined
from crm_sync.emulators.salesforce.failures import Failure, Problem, Unsupported
from crm_sync.emulators.salesforce.moments import stamp
from crm_sync.emulators.salesforce.reading import stream
from crm_sync.emulators.salesforce.soql.tree import (
    Compare,
    Function,
    Join,
    Literal,
    Node,
    Not,
    Operand,
    Query,
    Token,
    is_aggregate,
    malformed,
)

MOST = 2000
SHAPES = {"count": "count({})", "count_distinct": "count(DISTINCT {})", "sum": "sum({})", "avg": "avg({})",
          "min": "min({})", "max": "max({})"}  # fmt: skip


class Aggregation:
    """One aggregate query."""

    def __init__(self, compiler: Compiler) -> None:
        self.compiler, self.query = compiler, compiler.query
        self.aliases: dict[str, Operand] = {
            one.alias.casefold(): one.what
            for one in self.query.selected
            if one.alias and not isinstance(one.what, Query)
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows. Raises Failure for more of them than one answer may have."""
        query, compiler = self.query, self.compiler
        names, shown, groups = self.selection()
        source, params = compiler.source()
        sql = f"SELECT {', '.join(one.sql for one in shown)} {source}"
        if groups:
            sql += f" GROUP BY {', '.join(groups)}"
        if query.having is not None:
            having, more = self.having(query.having)
            sql, params = f"{sql} HAVING {having}", params + more
        if query.order:
            keys = []
            for order in query.order:
                nulls = f" NULLS {'LAST' if order.nulls_last else 'FIRST'}"
                keys.append(f"{self.column(order.key).sql}{' DESC' if order.descending else ''}{nulls}")
            sql += f" ORDER BY {', '.join(keys)}"
        limit = MOST + 1 if query.limit is None else min(query.limit, MOST + 1)
        found = stream(compiler.org.state, f"{sql} LIMIT ? OFFSET ?", (*params, limit, query.offset)).fetchall()
        if len(found) > MOST:
            text = "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"
            raise Failure(400, Problem("EXCEEDED_ID_LIMIT", text))
        attributes = {"attributes": {"type": "AggregateResult"}}
        return [
            {**attributes, **{n: self.show(c, v) for n, c, v in zip(names, shown, row, strict=True)}} for row in found
        ]

    def selection(self) -> tuple[list[str], list[Column], list[str]]:
        """Return the names and the columns of the rows, and what they are grouped by."""
        query = self.query
        grouped = [self.column(one).sql for one in query.group]
        names: list[str] = []
        shown: list[Column] = []
        for one in query.selected:
            if isinstance(one.what, Query):
                raise malformed(query.text, one.what.source.at, "Child subqueries cannot stand in aggregate queries")
            found = self.column(one.what)
            if not is_aggregate(one.what) and found.sql not in grouped:
                text = f"Field must be grouped or aggregated: {one.what.text}"
                raise malformed(query.text, one.what.at, text)
            numbered = f"expr{sum(name.startswith('expr') for name in names)}"
            plain = found.field.name if isinstance(one.what, Token) else numbered
            names.append(one.alias or plain)
            shown.append(found)
        return names, shown, grouped

    def column(self, operand: Operand) -> Column:
        """Return a path, a function or an alias as SQL."""
        if isinstance(operand, Token) and operand.text.casefold() in self.aliases:
            operand = self.aliases[operand.text.casefold()]
        if isinstance(operand, Function) and is_aggregate(operand):
            if operand.inner is None:
                raise malformed(self.query.text, operand.at, "COUNT() must stand alone")
            inner = self.compiler.operand(operand.inner)
            if operand.name in ("sum", "avg") and inner.kind != "number":
                text = f"field {inner.field.name} does not support aggregate operator {operand.name.upper()}"
                raise malformed(self.query.text, operand.at, text)
            return Column(SHAPES[operand.name].format(inner.sql), inner.field, nullable=operand.name not in COUNTS)
        found = self.compiler.operand(operand)
        if long_text(found.field):
            text = f"field '{found.field.name}' can not be grouped in a query call"
            raise malformed(self.query.text, operand.at, text)
        return found

    @staticmethod
    def show(column: Column, value: Any) -> Any:
        """Return a value of SQL as the API shows it."""
        counts = column.sql.startswith(("count(", "sum(", "avg("))
        if value is None or counts:
            return value
        if column.stored_us:
            return stamp(value)
        return bool(value) if column.kind == "boolean" else value

    def having(self, node: Node) -> Sql:
        """Compile HAVING: comparisons of aggregates and of grouped fields."""
        if isinstance(node, Join):
            parts = [self.having(part) for part in node.parts]
            return joined(node.word, [sql for sql, _ in parts]), [one for _, params in parts for one in params]
        if isinstance(node, Not):
            sql, params = self.having(node.inner)
            return f"NOT {sql}", params
        return self.having_one(node)

    def having_one(self, node: Compare) -> Sql:
        if not is_aggregate(node.left):
            sql, params, _ = self.compiler.comparison(node)
            return f"coalesce({sql}, 0)", params
        if not isinstance(node.value, Literal) or node.operator not in OPERATORS:
            raise Unsupported(f"SOQL HAVING {node.left.text} {node.operator.upper()} in: {self.query.text}")
        column = self.column(node.left)
        value = node.value.value
        if node.value.kind == "datetime" and not column.stored_us:
            value = stamp(value)
        return f"coalesce({column.sql} {OPERATORS[node.operator]} ?, 0)", [value]


COUNTS = ("count", "count_distinct")
