"""Small makers of columns for tests of mapping, scoping, validation and normalising."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crm_sync.specs.model import FieldSpec, FieldType
from crm_sync.steps.codec import Codec
from crm_sync.steps.transforms import TRANSFORMS, lift_column, project_column


def column(*values: Any) -> NDArray[np.object_]:
    """Return values as an object column."""
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def codec(transform: str, *, values: Sequence[str] = (), **options: object) -> Codec:
    """Build a transform for a field of its own type; `as_` stands for the option `as`."""
    given = {key.rstrip("_"): value for key, value in options.items()}
    spec = FieldSpec(name="f", type=FieldType(transform), values=tuple(values))
    if "map" in given:
        given["values"] = given.pop("map")
    return TRANSFORMS[transform](spec, given)


def lift(built: Codec, value: Any) -> str:
    """Lift one value; a refused one comes back as "!<code>"."""
    texts, reasons = lift_column(built, column(value))
    return f"!{reasons[0]}" if reasons[0] is not None else str(texts[0])


def project(built: Codec, text: str) -> Any:
    """Project one canonical text."""
    return project_column(built, column(text))[0]
