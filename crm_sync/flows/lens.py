"""The rules of one stream (an entity in a connection), ready to apply to batches.

Belongs here: lifting, projecting and hashing with the mapping, key and form of one stream. Not here: the rules
themselves
(specs/), the transforms (steps/mapping), where references lead (flows/references).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from crm_sync.records import ABSENT, MISSING, NULL, Hashes, Mask, SourceBatch, Texts
from crm_sync.specs.model import (
    ConnectionSpec,
    Direction,
    EntitySpec,
    FieldMapping,
    FieldSpec,
    FieldType,
    MappingSpec,
    SpecSet,
)
from crm_sync.steps.hashing import hash_texts, null_hash
from crm_sync.steps.mapping import Lifted, crm_form, form_text, lift_batch, project_batch
from crm_sync.steps.merging import CellRules, Ranks
from crm_sync.store.database import Database
from crm_sync.store.forms import Form, ensure_form


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference field of the stream: its place in the link's vector, and the CRM object it points to."""

    position: int
    field: str
    target_entity: str
    target_object: str
    required: bool


@dataclass(frozen=True, slots=True)
class Lens:
    """One stream. Link vectors have one place a mapped field, in the order of the entity spec; `places` are those in
    the hub's vector."""

    specs: SpecSet
    entity: EntitySpec
    mapping: MappingSpec
    connection: ConnectionSpec
    fields: tuple[FieldSpec, ...]
    mapped: tuple[FieldMapping, ...]
    places: NDArray[np.intp]
    references: tuple[Reference, ...]
    rules: CellRules
    source_rank: tuple[Mapping[str, int], ...]
    form: Form
    hub_form: Form
    key: str
    null: np.uint64

    @classmethod
    def build(cls, specs: SpecSet, connection: str, entity: str, key_id: int, key: str, database: Database) -> Lens:
        """Put the rules of a stream together and make sure that its forms are known to the store."""
        spec = specs.entities[entity]
        mapping = specs.mapping(connection, entity)
        order = spec.field_names
        names = [n for n in order if n in mapping.mapped]
        fields = tuple(spec.field(n) for n in names)
        mapped = tuple(mapping.field(n) for n in names)
        ranks = tuple(specs.priority(f) for f in fields)
        references = []
        for position, (field, rule) in enumerate(zip(fields, mapped, strict=True)):
            if field.type is FieldType.REFERENCE and field.target is not None:
                target = rule.target_object or specs.mapping(connection, field.target).object
                references.append(Reference(position, field.name, field.target, target, field.required))

        def forms(conn: Any) -> tuple[Form, Form]:
            text = form_text(spec, mapping)
            link = ensure_form(conn, key_id=key_id, entity=entity, connection=connection, fields=names, text=text)
            hub = ensure_form(
                conn, key_id=key_id, entity=entity, connection=None, fields=order, text="hub\n" + "\n".join(order)
            )
            return link, hub

        link_form, hub_form = database.run(forms)
        return cls(
            specs=specs,
            entity=spec,
            mapping=mapping,
            connection=specs.connections[connection],
            fields=fields,
            mapped=mapped,
            places=np.array([order.index(n) for n in names], dtype=np.intp),
            references=tuple(references),
            rules=CellRules.build(fields, mapped, ranks, connection, key),
            source_rank=ranks,
            form=link_form,
            hub_form=hub_form,
            key=key,
            null=null_hash(key),
        )

    @property
    def name(self) -> str:
        return self.connection.name

    @property
    def width(self) -> int:
        return len(self.fields)

    def lift(self, values: Mapping[str, NDArray[np.object_]]) -> Lifted:
        """Return the canonical texts of source values; references still by record id."""
        return lift_batch(self.entity, self.mapping, self.connection, values)

    def texts(self, lifted: Mapping[str, Texts], rows: int) -> NDArray[np.object_]:
        """Return lifted texts as an (n, width) array; fields that were not lifted are absent."""
        out = np.full((rows, self.width), ABSENT, dtype=object)
        for position, field in enumerate(self.fields):
            if field.name in lifted:
                out[:, position] = lifted[field.name]
        return out

    def crm_texts(self, hub_texts: NDArray[np.object_], wanted: Mask) -> NDArray[np.object_]:
        """Return project(hub) in canonical text for the wanted cells of an (n, width) array; references and the rest
        stay as given."""
        out = hub_texts.copy()
        reference_places = {r.position for r in self.references}
        for position, field in enumerate(self.fields):
            rows = np.flatnonzero(wanted[:, position])
            if rows.size and position not in reference_places:
                out[rows, position] = crm_form(
                    self.entity, self.mapping, self.connection, field.name, hub_texts[rows, position]
                )
        return out

    def source_values(self, crm_texts: NDArray[np.object_]) -> list[dict[str, Any]]:
        """Return, for each row of an (n, width) array (references by record id), source field -> value ready to
        send."""
        columns = {f.name: crm_texts[:, i] for i, f in enumerate(self.fields)}
        projected = project_batch(self.entity, self.mapping, self.connection, columns)
        names = list(projected)
        rows = zip(*projected.values(), strict=True)
        return [{n: v for n, v in zip(names, row, strict=True) if v is not MISSING} for row in rows]

    def hash(self, texts: NDArray[np.object_]) -> Hashes:
        """Return the hashes of canonical texts under this stream's key."""
        return hash_texts(texts, self.key)

    def ranks_of(self, sources: NDArray[np.int32], names: Sequence[str]) -> Ranks:
        """Return the rank of the source of each hub value, (n, width); an unknown source ranks last.

        `sources` are places in `names`, (n, fields of the entity).
        """
        table = np.array([[rank.get(n, 10_000) for n in names] for rank in self.source_rank], dtype=np.int32)
        return table[np.arange(self.width), sources[:, self.places]]

    def gates(self, batch: SourceBatch) -> NDArray[np.int64]:
        """Return one hash a record over its mapped source columns, external key and deletion, under the current
        mapping."""
        names = sorted(batch.values)
        columns = [batch.values[n] for n in names]
        flags = zip(batch.hub_ids, batch.deleted.tolist(), strict=True)
        texts = np.empty(len(batch), dtype=object)
        values = zip(*columns, strict=True) if columns else iter([()] * len(batch))
        texts[:] = [
            orjson.dumps([self.form.form_id, *flag, *("\0" if v is MISSING else v for v in row)]).decode()
            for flag, row in zip(flags, values, strict=True)
        ]
        return self.hash(texts).view(np.int64)

    def bases(self, batch: SourceBatch) -> list[bytes]:
        """Return the mapped source values of each record, those that it carried, as JSON."""
        names = list(batch.values)
        rows = zip(*[column.tolist() for column in batch.values.values()], strict=True) if names else iter(())
        carried = [{n: v for n, v in zip(names, row, strict=True) if v is not MISSING} for row in rows]
        return [orjson.dumps(values) for values in carried] or [b"{}"] * len(batch)

    def sources_of(self, position: int) -> tuple[str, ...]:
        """Return the source fields from which a mapped field is lifted."""
        return (self.mapped[position].source,)

    def writable(self) -> Mask:
        """Tell which mapped fields may be sent, (width,)."""
        return np.array([m.direction is not Direction.IN for m in self.mapped], dtype=np.bool_)


def doc_texts(docs: Sequence[Mapping[str, str]], fields: Sequence[FieldSpec]) -> NDArray[np.object_]:
    """Return the canonical texts of golden records' documents as an (n, fields) array; a missing field is null."""
    out = np.full((len(docs), len(fields)), NULL, dtype=object)
    names = [f.name for f in fields]
    for row, doc in enumerate(docs):
        if doc:
            out[row] = [doc.get(n, NULL) for n in names]
    return out
