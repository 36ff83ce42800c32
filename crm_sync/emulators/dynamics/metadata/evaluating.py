"""Apply $select, $filter, $expand and $orderby to definitions, which are plain documents in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from crm_sync.emulators.dynamics.expanding import Expansion, expansions
from crm_sync.emulators.dynamics.expressions import (
    Comparison,
    Expression,
    Junction,
    Literal,
    Negation,
    Path,
    Quantified,
    TextMatch,
    parse,
)
from crm_sync.emulators.dynamics.protocol import Call, ODataError, Unsupported

Document = dict[str, Any]
Expand = Callable[[Document, str], Any]
"""(a definition, name of an expanded property) -> its value: one document, or a list."""

KNOWN: Final = frozenset({"$select", "$filter", "$expand", "$top", "$count", "LabelLanguages", "SolutionUniqueName"})


def shaped(call: Call, rows: Sequence[Document], expand: Expand) -> list[Document]:
    """Return definitions filtered, chosen and expanded as the request asks. Raises ODataError, Unsupported."""
    options = call.options()
    for name in options:
        if name not in KNOWN and not name.startswith("@"):
            raise Unsupported(f"the query option {name} on definitions")
    kept = list(rows)
    if "$filter" in options:
        condition = parse(options["$filter"], call.aliases())
        kept = [row for row in kept if holds(condition, row)]
    if options.get("$top", "").isdecimal():
        kept = kept[: int(options["$top"])]
    found = expansions(options.get("$expand"))
    return [_chosen(row, options.get("$select"), found, expand) for row in kept]


def _chosen(row: Document, select: str | None, found: Sequence[Expansion], expand: Expand) -> Document:
    """Return what $select leaves of a definition: MetadataId always stays, and what is expanded is added."""
    if select is None:
        out = dict(row)
    else:
        names = [name.strip() for name in select.split(",")]
        for name in names:
            if name not in row and not name.startswith("@"):
                raise ODataError(400, "0x80060888", f"Could not find a property named '{name}' on a definition.")
        kept = {"MetadataId", "@odata.type", *names}
        out = {name: value for name, value in row.items() if name in kept}
    for one in found:
        out[one.name] = _expanded(expand(row, one.name), one, expand)
    return out


def _expanded(value: Any, one: Expansion, expand: Expand) -> Any:
    if value is None:
        return None
    rows = value if isinstance(value, list) else [value]
    if "$filter" in one.options:
        condition = parse(one.options["$filter"])
        rows = [row for row in rows if holds(condition, row)]
    shown = [_chosen(row, one.options.get("$select"), one.nested, expand) for row in rows]
    return shown if isinstance(value, list) else shown[0]


def holds(condition: Expression, row: Mapping[str, Any]) -> bool:
    """Tell whether a definition meets a condition. Raises ODataError for an unknown property."""
    if isinstance(condition, Junction):
        parts = (holds(part, row) for part in condition.parts)
        return all(parts) if condition.word == "and" else any(parts)
    if isinstance(condition, Negation):
        return not holds(condition.inner, row)
    if isinstance(condition, Comparison):
        right = condition.right
        wanted = _literal(right) if isinstance(right, Literal) else _value(row, right)
        return _compare(condition.operator, _folded(_value(row, condition.left)), _folded(wanted))
    if isinstance(condition, TextMatch):
        text, part = _folded(_value(row, condition.path)) or "", condition.text.casefold()
        tests = {"contains": part in text, "startswith": text.startswith(part), "endswith": text.endswith(part)}
        return tests[condition.name]
    if isinstance(condition, Quantified):
        raise Unsupported("any and all over definitions")
    raise Unsupported(f"the query function {condition.name} over definitions")


def _compare(operator: str, left: Any, right: Any) -> bool:
    if operator == "eq":
        return bool(left == right)
    if operator == "ne":
        return bool(left != right)
    if left is None or right is None or isinstance(left, str) != isinstance(right, str):
        return False
    return bool({"gt": left > right, "ge": left >= right, "lt": left < right, "le": left <= right}[operator])


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _literal(given: Literal) -> Any:
    if given.kind == "null":
        return None
    if given.kind == "boolean":
        return given.text == "true"
    return float(given.text) if given.kind == "number" else given.text


def _value(row: Mapping[str, Any], path: Path) -> Any:
    value: Any = row
    for name in path.parts:
        if value is None:
            return None
        if not isinstance(value, Mapping) or name not in value:
            raise ODataError(400, "0x80060888", f"Could not find a property named '{name}' on a definition.")
        value = value[name]
    return value
