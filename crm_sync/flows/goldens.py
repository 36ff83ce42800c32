"""Golden records of one entity inside one transaction: loaded in batches, changed in memory, written once.

Belongs here: decrypting and encrypting documents, vectors and evidence of golden records. Not here: deciding values
(steps/),
the SQL (store/hub).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np
import orjson
from numpy.typing import NDArray

from crm_sync.records import NULL, Hashes
from crm_sync.specs.model import EntitySpec
from crm_sync.steps.hashing import hash_texts, pack_vectors, unpack_vectors
from crm_sync.steps.matching import Identity, digest, identities
from crm_sync.store import hub, matchkeys
from crm_sync.store.database import Connection
from crm_sync.store.forms import Form, load_form

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

NOBODY = ""
"""The source of a field that was never set."""
_DOC = "hub_record.doc"


@dataclass(slots=True)
class Golden:
    """One golden record. `vector`, `earliest`, `latest`, `sources` follow the entity's fields; `doc` is None until
    decrypted."""

    hub_id: UUID
    vector: NDArray[np.uint64]
    earliest: NDArray[np.int64]
    latest: NDArray[np.int64]
    sources: list[str]
    doc: dict[str, str] | None
    sealed: bytes | None
    is_new: bool = False
    is_changed: bool = False


class Goldens:
    """The golden records that one transaction touches. Call `flush` once at the end."""

    def __init__(self, ctx: Context, conn: Connection, entity: EntitySpec, form: Form) -> None:
        self._ctx = ctx
        self._conn = conn
        self._entity = entity
        self._form = form
        self._rows: dict[UUID, Golden] = {}
        self._keys: dict[UUID, bytes] = {}
        self._order = {name: place for place, name in enumerate(entity.field_names)}
        self._null = hash_texts(np.array([NULL], dtype=object), ctx.vector_key)[0]

    def __getitem__(self, hub_id: UUID) -> Golden:
        return self._rows[hub_id]

    def load(self, hub_ids: Iterable[UUID]) -> None:
        """Load golden records that are not loaded yet. One in an older form is brought to the current form in
        memory."""
        missing = [h for h in dict.fromkeys(hub_ids) if h not in self._rows]
        if not missing:
            return
        stored = hub.load_hub_records(self._conn, missing)
        self._keys.update(self._ctx.keyring.subject_keys(self._conn, list(stored)))
        older: list[Golden] = []
        width = len(self._order)
        for hub_id, row in stored.items():
            current = row.form_id == self._form.form_id
            # In an older form the evidence still follows that form's fields; it is re-read by name below.
            golden = Golden(
                hub_id,
                unpack_vectors([row.vector], width)[0] if current else np.zeros(width, dtype=np.uint64),
                *(_evidence(row.evidence) if current else (np.zeros(width, np.int64), np.zeros(width, np.int64))),
                sources=list(row.sources) if current else [NOBODY] * width,
                doc=None,
                sealed=row.doc,
            )
            self._rows[hub_id] = golden
            if not current:
                self._by_name(golden, row)
                older.append(golden)
        if older:
            self.decrypt([g.hub_id for g in older])
            texts = np.array([[_doc(g).get(n, NULL) for n in self._order] for g in older], dtype=object)
            for golden, vector in zip(older, hash_texts(texts, self._ctx.vector_key), strict=True):
                golden.vector = vector

    def _by_name(self, golden: Golden, row: hub.HubRow) -> None:
        old = load_form(self._conn, row.form_id)
        earliest, latest = _evidence(row.evidence)
        for place, name in enumerate(old.fields):
            here = self._order.get(name)
            if here is not None:
                golden.earliest[here], golden.latest[here] = earliest[place], latest[place]
                golden.sources[here] = row.sources[place]

    def create(self, hub_ids: Sequence[UUID]) -> None:
        """Begin golden records that hold nothing yet, each with a key of its own."""
        if not hub_ids:
            return
        self._keys.update(self._ctx.keyring.create_subject_keys(self._conn, hub_ids))
        width = len(self._order)
        for hub_id in hub_ids:
            self._rows[hub_id] = Golden(
                hub_id,
                np.full(width, self._null, dtype=np.uint64),
                np.zeros(width, dtype=np.int64),
                np.zeros(width, dtype=np.int64),
                [NOBODY] * width,
                {},
                None,
                is_new=True,
            )

    def decrypt(self, hub_ids: Iterable[UUID]) -> None:
        """Decrypt the documents of loaded golden records that are not decrypted yet."""
        wanted = [g for g in (self._rows[h] for h in dict.fromkeys(hub_ids)) if g.doc is None]
        plain = self._ctx.keyring.open_subject(
            self._keys, [g.hub_id for g in wanted], [g.sealed or b"" for g in wanted], _DOC
        )
        for golden, document in zip(wanted, plain, strict=True):
            golden.doc = orjson.loads(document)

    def docs(self, hub_ids: Sequence[UUID]) -> list[dict[str, str]]:
        """Return the documents (field -> canonical text) of loaded golden records, same order."""
        self.decrypt(hub_ids)
        return [_doc(self._rows[h]) for h in hub_ids]

    def keys(self, hub_ids: Iterable[UUID]) -> dict[UUID, bytes]:
        """Return the subject keys of golden records, loaded where necessary."""
        missing = [h for h in dict.fromkeys(hub_ids) if h not in self._keys]
        if missing:
            self._keys.update(self._ctx.keyring.subject_keys(self._conn, missing))
        return self._keys

    def vectors(self, hub_ids: Sequence[UUID], places: NDArray[np.intp]) -> Hashes:
        """Return the vectors of loaded golden records at the given places, (n, places)."""
        if not hub_ids:
            return np.zeros((0, len(places)), dtype=np.uint64)
        return np.stack([self._rows[h].vector for h in hub_ids])[:, places]

    def set(
        self, hub_id: UUID, field: str, text: str, hashed: np.uint64, evidence: tuple[int, int], source: str
    ) -> None:
        """Set one field of a decrypted golden record."""
        golden = self._rows[hub_id]
        place = self._order[field]
        _doc(golden)[field] = text
        golden.vector[place] = hashed
        golden.earliest[place], golden.latest[place] = evidence
        golden.sources[place] = source
        golden.is_changed = True

    def changed(self) -> list[UUID]:
        """Return the golden records that are new or changed so far."""
        return [g.hub_id for g in self._rows.values() if g.is_new or g.is_changed]

    def flush(self) -> None:
        """Write new and changed golden records, with their match keys."""
        touched = [g for g in self._rows.values() if g.is_new or g.is_changed]
        if not touched:
            return
        ids = [g.hub_id for g in touched]
        docs = [_doc(g) for g in touched]
        sealed = self._ctx.keyring.seal_subject(self._keys, ids, [orjson.dumps(d) for d in docs], _DOC)
        vectors = pack_vectors(np.stack([g.vector for g in touched]))
        derive = Derivation.of(self._entity)
        rows = [
            hub.NewHubRow(
                hub_id=golden.hub_id,
                entity=self._entity.name,
                form_id=self._form.form_id,
                doc=blob,
                vector=vector,
                evidence=np.stack([golden.earliest, golden.latest]).astype("<i8").tobytes(),
                sources=golden.sources,
                facts=derive.facts(doc),
                missing_required=derive.missing(doc),
                refs=derive.refs(doc),
                derived_by=derive.name,
            )
            for golden, doc, blob, vector in zip(touched, docs, sealed, vectors, strict=True)
        ]
        hub.insert_hub_records(self._conn, [r for r, g in zip(rows, touched, strict=True) if g.is_new])
        hub.update_hub_records(self._conn, [r for r, g in zip(rows, touched, strict=True) if not g.is_new])
        self.add_match_keys(ids, identities_of(self._entity, docs))
        for golden in touched:
            golden.is_new = golden.is_changed = False

    def add_match_keys(self, hub_ids: Sequence[UUID], found: Sequence[Identity]) -> None:
        """Remember match keys of golden records (their own or of a record linked to them); they are verified at use."""
        secret = self._ctx.keyring.match_key()
        name = self._entity.name
        keys = {(k[0], digest(name, k, secret), h) for h, i in zip(hub_ids, found, strict=True) for k in i.keys}
        matchkeys.add(self._conn, name, sorted(keys))


@dataclass(frozen=True, slots=True)
class Derivation:
    """What stands beside a document in the clear, and by which rules; `name` changes with the rules."""

    open_fields: tuple[str, ...]
    required: tuple[str, ...]
    references: tuple[str, ...]
    name: str

    @classmethod
    def of(cls, entity: EntitySpec) -> Derivation:
        """Read the rules off an entity spec."""
        rules = (
            tuple(f.name for f in entity.fields if not f.pii),
            tuple(f.name for f in entity.fields if f.required),
            tuple(f.name for f in entity.references),
        )
        return cls(*rules, hashlib.sha256(orjson.dumps(rules)).hexdigest()[:16])

    def facts(self, doc: dict[str, str]) -> dict[str, str | None]:
        """Return the fields that are no personal data."""
        return {n: _fact(doc.get(n, NULL)) for n in self.open_fields}

    def missing(self, doc: dict[str, str]) -> int:
        """Return how many required fields are empty."""
        return sum(doc.get(n, NULL) == NULL for n in self.required)

    def refs(self, doc: dict[str, str]) -> dict[str, str]:
        """Return field -> hub id of the references that lead somewhere."""
        return {n: target for n in self.references if (target := _fact(doc.get(n, NULL))) is not None}


def identities_of(entity: EntitySpec, docs: Sequence[dict[str, str]]) -> list[Identity]:
    """Return the identities of documents."""
    columns = {}
    for field in entity.fields:
        column = np.empty(len(docs), dtype=object)
        column[:] = [d.get(field.name, NULL) for d in docs]
        columns[field.name] = column
    return identities(entity, columns, len(docs))


def _doc(golden: Golden) -> dict[str, str]:
    if golden.doc is None:
        raise RuntimeError(f"golden record {golden.hub_id} is used before it is decrypted")
    return golden.doc


def _evidence(blob: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pair = np.frombuffer(blob, dtype="<i8").astype(np.int64).reshape(2, -1)
    return pair[0], pair[1]


def _fact(text: str) -> str | None:
    return None if text in (NULL, "-") else text[2:]
