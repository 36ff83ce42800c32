"""Map batches between a CRM's values and canonical texts, by a mapping spec.

Belongs here: which transform serves which field, whole batches both ways, the identity of a form. Not here: the
conversions (transforms*.py), the ids of references (flows/), what is valid (validation.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import phonenumbers
from numpy.typing import NDArray

from crm_sync.records import ABSENT, Texts
from crm_sync.specs.model import ConnectionSpec, Direction, EntitySpec, FieldMapping, FieldSpec, FieldType, MappingSpec
from crm_sync.steps.codec import Codec
from crm_sync.steps.transforms import TRANSFORMS, Reasons, lift_column, project_column

TRANSFORM_VERSION: Final = 1
"""Part of every form: raise it whenever a transform lifts any value differently than before."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """A batch in canonical texts: per mapped field n texts and n reason codes (None where the value was lifted)."""

    texts: dict[str, Texts] = field(default_factory=dict)
    reasons: dict[str, Reasons] = field(default_factory=dict)


def _codec(spec: FieldSpec, mapped: FieldMapping, connection: ConnectionSpec) -> Codec:
    options = mapped.options
    if mapped.transform == "phone" and "region" not in options:
        options = {**options, "region": connection.region}
    return TRANSFORMS[mapped.transform](spec, options)


def lift_batch(
    entity: EntitySpec, mapping: MappingSpec, connection: ConnectionSpec, values: Mapping[str, NDArray[np.object_]]
) -> Lifted:
    """Lift every mapped field, those that are only written included.

    `values`: source field name -> n JSON scalars, None or MISSING (SourceBatch.values). A source that the batch lacks
    is absent in all rows. Values that cannot be lifted are NULL with a reason code; nothing is raised.
    """
    rows = len(next(iter(values.values()))) if values else 0
    out = Lifted()
    for mapped in mapping.fields:
        column = values.get(mapped.source)
        if column is None:
            out.texts[mapped.field] = np.full(rows, ABSENT, dtype=object)
            out.reasons[mapped.field] = np.full(rows, None, dtype=object)
            continue
        codec = _codec(entity.field(mapped.field), mapped, connection)
        out.texts[mapped.field], out.reasons[mapped.field] = lift_column(codec, column)
    return out


def project_batch(
    entity: EntitySpec, mapping: MappingSpec, connection: ConnectionSpec, texts: Mapping[str, Texts]
) -> dict[str, NDArray[np.object_]]:
    """Project the given fields as far as they are mapped outward: source field name -> n JSON scalars ready to send.

    NULL becomes None, ABSENT becomes MISSING; a MISSING cell must not be sent. References must come in the CRM's form
    (the target's record id there).
    """
    out: dict[str, NDArray[np.object_]] = {}
    for mapped in mapping.fields:
        if mapped.field in texts and mapped.direction is not Direction.IN:
            codec = _codec(entity.field(mapped.field), mapped, connection)
            out[mapped.source] = project_column(codec, texts[mapped.field])
    return out


def crm_form(entity: EntitySpec, mapping: MappingSpec, connection: ConnectionSpec, name: str, texts: Texts) -> Texts:
    """Return what the CRM would show of hub values of one field: lift(project(texts)).

    ABSENT where the CRM has no form for the value. ValueError for a reference, whose form depends on identity links.
    """
    spec = entity.field(name)
    if spec.type is FieldType.REFERENCE:
        raise ValueError(f"the form of the reference {name!r} depends on identity links, not on its mapping")
    codec = _codec(spec, mapping.field(name), connection)
    return lift_column(codec, project_column(codec, texts))[0]


def form_text(entity: EntitySpec, mapping: MappingSpec) -> str:
    """Return stable JSON of everything that decides how values are lifted, for a digest.

    The order of fields counts (vectors follow it). What only decides who wins or what is sent does not.
    """
    fields = []
    for mapped in mapping.fields:
        spec = entity.field(mapped.field)
        options = {k: list(v.items()) if isinstance(v, Mapping) else v for k, v in sorted(mapped.options.items())}
        fields.append(
            {
                "field": spec.name,
                "type": spec.type.value,
                "values": spec.values,
                "max_length": spec.max_length,
                "target": spec.target,
                "source": mapped.source,
                "transform": mapped.transform,
                "options": options,
            }
        )
    phones = any(mapped.transform == "phone" for mapped in mapping.fields)
    document = {
        "transforms": TRANSFORM_VERSION,
        "phones": phonenumbers.__version__ if phones else None,
        "entity": [entity.name, entity.version],
        "mapping": [mapping.object, mapping.version],
        "fields": fields,
    }
    return json.dumps(document, ensure_ascii=True, separators=(",", ":"))
