"""Turn the selection of a query into a shape of rows, and fill in child subqueries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from crm_sync.emulators.salesforce.compiling import Compiler
from crm_sync.emulators.salesforce.failures import Unsupported
from crm_sync.emulators.salesforce.reading import ID, Row, columns, doc_sql, stream
from crm_sync.emulators.salesforce.rendering import Shape
from crm_sync.emulators.salesforce.resolving import Path, find_path, refuse_twice
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.salesforce.soql.tree import Function, Query, Token, malformed

CHILDREN_SHOWN = 2000


class Selection:
    """What a query shows of its rows."""

    def __init__(self, org: Org, query: Query, sobject: str, base: str, *, deleted: bool) -> None:
        self.org, self.query, self.sobject, self.deleted = org, query, sobject, deleted
        self.shape = Shape(org, sobject, base)
        self.children: list[Children] = []
        self.paths: list[Path] = []
        for one in query.selected:
            if isinstance(one.what, Query):
                child = Children(org, one.what, sobject, base, deleted=deleted)
                self.children.append(child)
                self.shape.blank[child.name] = None
            elif isinstance(one.what, Function):
                self.function(one.what)
            else:
                self.paths.append(find_path(org, query, sobject, one.what))
        refuse_twice(self.paths)
        for path in self.paths:
            self.shape.add(path)

    def function(self, what: Function) -> None:
        inner = what.inner
        if what.name == "fields" and isinstance(inner, Token) and inner.text.casefold() in FIELD_SETS:
            self.whole(inner)
        elif what.name == "tolabel" and isinstance(inner, Token):
            path = find_path(self.org, self.query, self.sobject, inner)
            if len(path) != 1:
                raise Unsupported(f"SOQL toLabel of a parent's field in: {self.query.text}")
            self.shape.add_label(path[0])
        else:
            raise Unsupported(f"SOQL {what.text} among the fields in: {self.query.text}")

    def whole(self, word: Token) -> None:
        """Add FIELDS(ALL), FIELDS(STANDARD) or FIELDS(CUSTOM); all but STANDARD need a LIMIT of at most 200."""
        wanted = word.text.casefold()
        if wanted != "standard" and not 0 < (self.query.limit or 0) <= 200:
            text = f"The SOQL FIELDS function must have a LIMIT of at most 200: FIELDS({word.text.upper()})"
            raise malformed(self.query.text, word.at, text)
        for field in self.org.fields(self.sobject).values():
            if wanted == "all" or field.name.endswith("__c") == (wanted == "custom"):
                self.paths.append((field,))

    def rows(self, records: Sequence[Row]) -> list[dict[str, Any]]:
        """Return records as the query wants them."""
        out = self.shape.rows(records)
        for child in self.children:
            child.fill(out, [record[ID] for record in records])
        return out


FIELD_SETS = ("all", "standard", "custom")


class Children:
    """A child subquery: (SELECT ... FROM Contacts)."""

    def __init__(self, org: Org, query: Query, parent: str, base: str, *, deleted: bool) -> None:
        self.org, self.query = org, query
        wanted = query.source.text.rpartition(".")[2].casefold()
        found = [one for one in org.children(parent) if one[2] and one[2].casefold() == wanted]
        if not found:
            text = (
                f"Didn't understand relationship '{query.source.text}' in FROM part of query call. If you are "
                "attempting to use a custom relationship, be sure to append the '__r' after the custom relationship "
                "name. Please reference your WSDL or the describe call for the appropriate names."
            )
            raise malformed(query.text, query.source.at, text, "INVALID_TYPE")
        sobject, self.reference, self.name = found[0]
        if query.aggregated:
            raise malformed(query.text, query.source.at, "Child subqueries cannot aggregate")
        self.selection = Selection(org, query, sobject, base, deleted=deleted)
        self.compiler = Compiler(org, query, sobject, deleted=deleted)

    def fill(self, rows: Sequence[dict[str, Any]], parents: Sequence[str]) -> None:
        """Put the children of each row into it; null where there are none."""
        compiler = self.compiler
        source, params = compiler.source()
        key = doc_sql("r", self.reference.name)
        sql = (
            f"SELECT {columns('r')}, {key} {source} AND {key} IN (SELECT value FROM json_each(?))"
            f" ORDER BY {compiler.order()}"
        )
        found: dict[str, list[Row]] = {}
        most = CHILDREN_SHOWN if self.query.limit is None else self.query.limit
        for row in stream(self.org.state, sql, (*params, orjson.dumps(list(parents)).decode())):
            mine = found.setdefault(row[-1], [])
            if len(mine) < most + self.query.offset:
                mine.append(row[:-1])
        for row, parent in zip(rows, parents, strict=True):
            mine = found.get(parent, [])[self.query.offset :]
            if mine:
                shown = self.selection.rows(mine)
                row[self.name] = {"totalSize": len(shown), "done": True, "records": shown}
