"""Decide which records are ours to sync.

Belongs here: scope rules on source values. Not here: what happens to a record that leaves scope (flows/absorb).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from crm_sync.records import MISSING, Mask
from crm_sync.specs.model import MappingSpec, ScopeRule
from crm_sync.specs.reading import scalar_text


def in_scope(mapping: MappingSpec, values: Mapping[str, NDArray[np.object_]]) -> Mask:
    """Tell per row whether every scope rule holds; `values` as in SourceBatch.values, n rows.

    A record whose scope field could not be read is not in scope (we do not sync what we cannot tell to be ours). A row
    without any value is a deleted record: it passes, so that its deletion is heard.
    """
    rows = len(next(iter(values.values()))) if values else 0
    held = np.ones(rows, dtype=np.bool_)
    if not mapping.scope or rows == 0:
        return held
    for rule in mapping.scope:
        column = values.get(rule.source)
        held &= np.zeros(rows, dtype=np.bool_) if column is None else _holds(rule, column)
    silent = np.ones(rows, dtype=np.bool_)
    for column in values.values():
        silent &= np.fromiter((v is MISSING for v in column), dtype=np.bool_, count=rows)
    return held | silent


def _holds(rule: ScopeRule, column: NDArray[np.object_]) -> Mask:
    texts = [None if v is MISSING else scalar_text(v).strip() for v in column]
    if rule.operator == "filled":
        verdict = [bool(t) for t in texts]
    elif rule.operator == "empty":
        verdict = [t == "" for t in texts]
    elif rule.operator == "is":
        verdict = [t is not None and t in rule.values for t in texts]
    elif rule.operator == "is_not":
        verdict = [t is not None and t not in rule.values for t in texts]
    else:
        raise ValueError(f"unknown scope operator {rule.operator!r}; the loader admits is, is_not, filled, empty")
    return np.array(verdict, dtype=np.bool_)
