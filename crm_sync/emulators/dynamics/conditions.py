"""Translate the filters of FetchXML into SQL (FetchXml operators)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from xml.etree.ElementTree import Element

from crm_sync.emulators.dynamics.crm_functions import crm_function
from crm_sync.emulators.dynamics.expressions import MOST_DEPTH, CrmFunction, too_deep
from crm_sync.emulators.dynamics.filters import SIGNS, Condition, Place, fold, guess, literal
from crm_sync.emulators.dynamics.protocol import ODataError
from crm_sync.emulators.dynamics.tables import Tables

if TYPE_CHECKING:
    from crm_sync.emulators.dynamics.fetching import Node

TEXT: Final = {
    "like": ("{}", False),
    "not-like": ("{}", True),
    "begins-with": ("{}%", False),
    "not-begin-with": ("{}%", True),
    "ends-with": ("%{}", False),
    "not-end-with": ("%{}", True),
}
SPELLED: Final = {
    "last-seven-days": "Last7Days",
    "next-seven-days": "Next7Days",
    "contain-values": "ContainValues",
    "not-contain-values": "DoesNotContainValues",
    "between": "Between",
    "not-between": "NotBetween",
}
OWN: Final = {"eq-userid": False, "ne-userid": True, "eq-businessid": False, "ne-businessid": True}


def condition(
    filter: Element, node: Node, named: Mapping[str, Node], tables: Tables, now_us: int, depth: int = 0
) -> Condition:
    """Return a filter over a node as SQL; `named` are the nodes that a condition may name by entityname."""
    if depth > MOST_DEPTH:
        raise too_deep()
    word = " OR " if filter.get("type") == "or" else " AND "
    parts = [_one(one, node, named, tables, now_us) for one in filter.findall("condition")]
    parts += [condition(one, node, named, tables, now_us, depth + 1) for one in filter.findall("filter")]
    if not parts:
        return Condition("1")
    return Condition("(" + word.join(one.sql for one in parts) + ")", tuple(p for one in parts for p in one.params))


def _one(element: Element, node: Node, named: Mapping[str, Node], tables: Tables, now_us: int) -> Condition:
    entity = element.get("entityname")
    if entity is not None:
        if entity not in named:
            raise ODataError(400, "0x80041103", f"No link-entity is called '{entity}'.")
        node = named[entity]
    name, operator = element.get("attribute", ""), element.get("operator", "")
    column = node.table.logical_column(name)
    if column is None:
        raise ODataError(
            400, "0x80041103", f"'{node.table.logical}' entity doesn't contain attribute with Name = '{name}'."
        )
    sql = fold(Place(column, column.at(node.sql)))
    values = [one.text or "" for one in element.findall("value")] or [element.get("value", "")]
    if operator in ("null", "not-null"):
        return Condition(f"{sql} IS {'NOT ' if operator == 'not-null' else ''}NULL")
    if operator in OWN:
        own = tables.user if operator.endswith("userid") else tables.business_unit
        return Condition(f"{sql} IS {'NOT ' if OWN[operator] else ''}?", (own,))
    if operator in ("eq", "ne", "neq", "gt", "ge", "lt", "le"):
        value = _value(column, values[0])
        if operator in ("ne", "neq"):
            return Condition(f"{sql} IS NOT ?", (value,))
        return Condition(f"{sql} {SIGNS[operator]} ?", (value,))
    if operator in ("in", "not-in"):
        marks = ",".join("?" * len(values))
        sign = "NOT IN" if operator == "not-in" else "IN"
        return Condition(f"{sql} {sign} ({marks})", tuple(_value(column, one) for one in values))
    if operator in TEXT:
        pattern, negated = TEXT[operator]
        like = f"{sql} {'NOT ' if negated else ''}LIKE ?"
        return Condition(like, (pattern.format(values[0].casefold()),))
    arguments: dict[str, str | tuple[str, ...]] = {"PropertyName": name, "PropertyValue": values[0]}
    arguments["PropertyValues"] = tuple(values)
    function = CrmFunction(SPELLED.get(operator, _camel(operator)), arguments)
    found, params = crm_function(function, column, sql, now_us, literal)
    return Condition(found, params)


def _value(column: Any, text: str) -> Any:
    if column.kind == "Boolean":
        text = {"1": "true", "0": "false"}.get(text, text)
    return literal(column, guess(column, text.strip("{}") if column.kind not in ("String", "Memo") else text))


def _camel(operator: str) -> str:
    return "".join(part.capitalize() for part in operator.replace("olderthan", "older-than").split("-"))
