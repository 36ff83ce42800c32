"""The named transforms, and how one is applied to a whole column.

Belongs here: the registry, the column runners. Not here: the conversions themselves (transforms_text,
transforms_choice, transforms_scalar), which field gets which transform (mapping.py).

A transform converts one value both ways: `lift` a CRM's value into canonical text, `project` canonical text into a JSON
scalar ready to send. Law, tested for every transform: project(lift(project(v))) = project(v) for every valid v.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crm_sync.records import ABSENT, MISSING, NULL, Texts
from crm_sync.specs.model import FieldSpec
from crm_sync.steps.codec import REFUSED, Codec
from crm_sync.steps.transforms_choice import boolean, picklist
from crm_sync.steps.transforms_scalar import date, datetime_, number, reference
from crm_sync.steps.transforms_text import email, long_text, phone, text

Build = Callable[[FieldSpec, Mapping[str, object]], Codec]

TRANSFORMS: Final[dict[str, Build]] = {
    "text": text,
    "long_text": long_text,
    "email": email,
    "phone": phone,
    "picklist": picklist,
    "boolean": boolean,
    "date": date,
    "datetime": datetime_,
    "number": number,
    "reference": reference,
}

Reasons = NDArray[np.object_]
"""One column of reason codes: 1-d object array of `str` or None."""


def lift_column(codec: Codec, values: NDArray[np.object_]) -> tuple[Texts, Reasons]:
    """Lift one column of source values (JSON scalars, None or MISSING).

    Returns canonical texts and, where a value cannot be lifted, a reason code (the text is NULL there). Each distinct
    text is converted once.
    """
    lift, null = codec.lift, codec.null_text
    seen: dict[str, str] = {}
    lifted: list[str] = []
    refused = False
    for value in values.tolist():
        if value is None:
            lifted.append(null)
        elif value is MISSING:
            lifted.append(ABSENT)
        elif type(value) is str:
            found = seen.get(value)
            if found is None:
                found = seen[value] = lift(value)
                refused = refused or found[0] == REFUSED
            lifted.append(found)
        else:
            found = lift(value)
            refused = refused or found[0] == REFUSED
            lifted.append(found)
    texts = np.empty(len(lifted), dtype=object)
    reasons = np.empty(len(lifted), dtype=object)
    if refused:
        reasons[:] = [t[1:] if t[0] == REFUSED else None for t in lifted]
        lifted = [NULL if t[0] == REFUSED else t for t in lifted]
    texts[:] = lifted
    return texts, reasons


def project_column(codec: Codec, texts: Texts) -> NDArray[np.object_]:
    """Project one column of canonical texts.

    NULL becomes None and ABSENT becomes MISSING. MISSING also stands where the CRM has no form for a value (a picklist
    value that its map does not know): such a cell must not be sent.
    """
    project, null = codec.project, codec.null_value
    seen: dict[str, Any] = {ABSENT: MISSING, NULL: null}
    out = np.empty(len(texts), dtype=object)
    projected: list[Any] = []
    for text_ in texts.tolist():
        if text_ not in seen:
            seen[text_] = project(text_)
        projected.append(seen[text_])
    out[:] = projected
    return out
