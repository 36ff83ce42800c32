"""Judge lifted batches by their entity spec: every reason of every bad row, and never a value.

Belongs here: the pandera schema built from an entity spec, and its verdicts as reason codes. Not here: quarantine
itself (flows/absorb), conversions that fail (transforms*.py; their reasons are joined here).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import pandas as pd
import pandera.pandas as pandera
from pandera.errors import SchemaErrors

from crm_sync.records import ABSENT, NULL
from crm_sync.specs.model import EntitySpec, FieldSpec, FieldType, MappingSpec
from crm_sync.steps.mapping import Lifted

_TAGS: Final = {
    FieldType.TEXT: "t",
    FieldType.LONG_TEXT: "t",
    FieldType.EMAIL: "t",
    FieldType.PHONE: "t",
    FieldType.PICKLIST: "t",
    FieldType.BOOLEAN: "b",
    FieldType.DATE: "d",
    FieldType.DATETIME: "i",
    FieldType.NUMBER: "n",
    FieldType.REFERENCE: "r",
}
Verdict = Callable[["pd.Series[Any]"], "pd.Series[bool]"]
Judge = Callable[[list[str]], list[bool]]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row is refused: the field and a code (required, type, max_length, picklist, or a transform's own)."""

    field: str
    code: str


def _verdict(judge: Judge) -> Verdict:
    def check(series: pd.Series[Any]) -> pd.Series[bool]:
        return pd.Series(judge(series.to_list()), index=series.index, dtype=bool)

    return check


def _checks(spec: FieldSpec) -> list[pandera.Check]:
    tag = f"{_TAGS[spec.type]}:"
    # Whole columns: a call for each text would cost more than all that is asked of it.
    rules: list[tuple[str, Judge]] = [("type", lambda texts: [t[:2] == tag or t in (NULL, ABSENT) for t in texts])]
    if spec.required:
        rules.append(("required", lambda texts: [t != NULL for t in texts]))
    limit = spec.max_length
    if limit is not None:
        rules.append(("max_length", lambda texts: [len(t) - 2 <= limit for t in texts]))
    if spec.type is FieldType.PICKLIST:
        allowed = {f"t:{value}" for value in spec.values} | {NULL, ABSENT}
        rules.append(("picklist", lambda texts: [t in allowed for t in texts]))
    return [pandera.Check(_verdict(judge), name=code, error=code) for code, judge in rules]


@lru_cache(maxsize=64)
def _schema(fields: tuple[FieldSpec, ...]) -> pandera.DataFrameSchema:
    columns = {spec.name: pandera.Column(None, _checks(spec), nullable=False) for spec in fields}
    return pandera.DataFrameSchema(columns, strict=True)


def schema(entity: EntitySpec, mapping: MappingSpec) -> pandera.DataFrameSchema:
    """Return the schema of a lifted batch: one column of canonical texts a mapped field."""
    return _schema(tuple(entity.field(mapped.field) for mapped in mapping.fields))


def validate(entity: EntitySpec, mapping: MappingSpec, lifted: Lifted) -> dict[int, list[Reason]]:
    """Return every reason of every row that must be refused, by row number; rows without one are valid.

    An absent field violates nothing (the CRM did not let us read it); a null in a required field does. A value that
    could not be lifted counts by its own reason alone.
    """
    out: dict[int, list[Reason]] = {}
    unliftable: set[tuple[int, str]] = set()
    for name, reasons in lifted.reasons.items():
        for row, code in enumerate(reasons.tolist()):
            if code is not None:
                unliftable.add((row, name))
                out.setdefault(row, []).append(Reason(name, code))
    if not mapping.fields:
        return out
    frame = pd.DataFrame({f.field: pd.Series(lifted.texts[f.field], dtype=object) for f in mapping.fields})
    cases: pd.DataFrame | None = None
    try:
        schema(entity, mapping).validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
    if cases is not None:
        for name, code, row in zip(cases["column"], cases["check"], cases["index"], strict=True):
            if (int(row), name) not in unliftable:
                out.setdefault(int(row), []).append(Reason(str(name), str(code)))
    return dict(sorted(out.items()))


def doubts(entity: EntitySpec, mapping: MappingSpec, lifted: Lifted) -> dict[tuple[str, str], int]:
    """Count what is taken over although it looks wrong: (field, code) -> rows. So far: phones that are no number."""
    out: Counter[tuple[str, str]] = Counter()
    for mapped in mapping.fields:
        if entity.field(mapped.field).type is FieldType.PHONE:
            odd = sum(t[:2] == "t:" and t[2:3] != "+" for t in lifted.texts[mapped.field].tolist())
            if odd:
                out[(mapped.field, "phone_not_a_number")] += odd
    return dict(out)
