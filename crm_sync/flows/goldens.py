"""Golden records of one entity inside one transaction: loaded in batches, changed in memory, written once.

Belongs here: decrypting and encrypting documents, vectors and evidence of golden records. Not here: deciding values
(steps/), match keys (matchkeys), the SQL (store/hub).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import orjson
from numpy.typing import NDArray

from crm_sync.flows.matchkeys import MatchKeys
from crm_sync.records import NULL, Hashes, Texts
from crm_sync.specs.model import EntitySpec
from crm_sync.steps.hashing import hash_texts, pack_vectors, unpack_vectors
from crm_sync.store import hub
from crm_sync.store.crypto import SubjectKey
from crm_sync.store.database import Connection
from crm_sync.store.forms import Form, load_form

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

NOBODY = ""
"""The source of a field that was never set."""
_DOC = "hub_record.doc"


class Goldens:
    """The golden records that one transaction touches, as columns. Call `flush` once at the end.

    All take hub ids of loaded (or created) golden records. Rows of arrays follow the ids given, columns the entity's
    fields.
    """

    def __init__(self, ctx: Context, conn: Connection, entity: EntitySpec, form: Form) -> None:
        self._ctx = ctx
        self._conn = conn
        self._entity = entity
        self._form = form
        self._order = {name: place for place, name in enumerate(entity.field_names)}
        self._null = hash_texts(np.array([NULL], dtype=object), ctx.vector_key)[0]
        self._keys: dict[UUID, SubjectKey] = {}
        self._row: dict[UUID, int] = {}
        self._ids: list[UUID] = []
        width = len(self._order)
        self._vectors = np.zeros((0, width), dtype=np.uint64)
        self._earliest = np.zeros((0, width), dtype=np.int64)
        self._latest = np.zeros((0, width), dtype=np.int64)
        self._sources = np.zeros((0, width), dtype=np.int32)
        self._docs: list[dict[str, str] | None] = []
        self._sealed: list[bytes | None] = []
        self._new: set[int] = set()
        self._changed: set[int] = set()
        self._source_names: list[str] = [NOBODY]
        self._source_codes = {NOBODY: 0}
        self._queued: set[UUID] = set()
        self._begun: set[UUID] = set()
        self._asked: tuple[Sequence[UUID], NDArray[np.intp]] = ([], np.zeros(0, dtype=np.intp))
        self.match_keys = MatchKeys(ctx, conn, entity)

    def load(self, hub_ids: Iterable[UUID]) -> None:
        """Load golden records that are not loaded yet. One in an older form is brought to the current form in
        memory."""
        missing = [h for h in dict.fromkeys(hub_ids) if h not in self._row]
        if not missing:
            return
        found = list(hub.load_hub_records(self._conn, missing).values())
        self._keys.update(self._ctx.keyring.subject_keys(self._conn, [r.hub_id for r in found]))
        stored = [r for r in found if r.form_id == self._form.form_id]
        width = len(self._order)
        if stored:
            evidence = np.frombuffer(b"".join(r.evidence for r in stored), dtype="<i8").reshape(len(stored), 2, width)
            self._add(
                [r.hub_id for r in stored],
                unpack_vectors([r.vector for r in stored], width),
                evidence[:, 0],
                evidence[:, 1],
                np.array([self._codes(r.sources) for r in stored], dtype=np.int32),
                [None] * len(stored),
                [r.doc for r in stored],
            )
        older = [r for r in found if r.form_id != self._form.form_id]
        if older:
            self._load_older(older)

    def _load_older(self, older: Sequence[hub.HubRow]) -> None:
        """Load golden records whose vectors and evidence follow other fields: by name, and hashed anew."""
        ids = [r.hub_id for r in older]
        empty = np.zeros((len(older), len(self._order)), dtype=np.int64)
        codes = empty.astype(np.int32)
        docs: list[dict[str, str] | None] = [None] * len(older)
        start = self._add(ids, empty.astype(np.uint64), empty, empty, codes, docs, [r.doc for r in older])
        for number, stored in enumerate(older):
            old, (earliest, latest) = load_form(self._conn, stored.form_id), _evidence(stored.evidence)
            for place, name in enumerate(old.fields):
                here = self._order.get(name)
                if here is not None:
                    self._earliest[start + number, here] = earliest[place]
                    self._latest[start + number, here] = latest[place]
                    self._sources[start + number, here] = self._code(stored.sources[place])
        texts = np.array([[doc.get(n, NULL) for n in self._order] for doc in self.docs(ids)], dtype=object)
        self._vectors[start : start + len(older)] = hash_texts(texts, self._ctx.vector_key)

    def create(self, hub_ids: Sequence[UUID]) -> None:
        """Begin golden records that hold nothing yet, each with a key of its own."""
        if not hub_ids:
            return
        self._keys.update(self._ctx.keyring.create_subject_keys(self._conn, hub_ids))
        never = np.zeros((len(hub_ids), len(self._order)), dtype=np.int64)
        vectors = np.full(never.shape, self._null, dtype=np.uint64)
        docs: list[dict[str, str] | None] = [{} for _ in hub_ids]
        start = self._add(hub_ids, vectors, never, never, never.astype(np.int32), docs, [None] * len(hub_ids))
        self._new.update(range(start, start + len(hub_ids)))

    def _add(
        self,
        hub_ids: Sequence[UUID],
        vectors: Hashes,
        earliest: NDArray[np.int64],
        latest: NDArray[np.int64],
        sources: NDArray[np.int32],
        docs: Sequence[dict[str, str] | None],
        sealed: Sequence[bytes | None],
    ) -> int:
        start = len(self._ids)
        self._row.update(zip(hub_ids, range(start, start + len(hub_ids)), strict=True))
        self._ids += hub_ids
        self._vectors = np.concatenate([self._vectors, vectors])
        self._earliest = np.concatenate([self._earliest, earliest])
        self._latest = np.concatenate([self._latest, latest])
        self._sources = np.concatenate([self._sources, sources])
        self._docs += docs
        self._sealed += sealed
        return start

    def rows(self, hub_ids: Sequence[UUID]) -> NDArray[np.intp]:
        """Return the rows in which loaded golden records stand, for `set_column`."""
        if hub_ids is not self._asked[0]:  # the same ids are asked for many things
            rows = np.fromiter(map(self._row.__getitem__, hub_ids), dtype=np.intp, count=len(hub_ids))
            self._asked = hub_ids, rows
        return self._asked[1]

    def docs(self, hub_ids: Sequence[UUID]) -> list[dict[str, str]]:
        """Return the documents (field -> canonical text) of loaded golden records, decrypted at first use."""
        return self._docs_at([self._row[h] for h in hub_ids])

    def _docs_at(self, rows: Sequence[int]) -> list[dict[str, str]]:
        docs = [doc for r in rows if (doc := self._docs[r]) is not None]
        if len(docs) == len(rows):
            return docs
        sealed = [r for r in dict.fromkeys(rows) if self._docs[r] is None]
        blobs = [self._sealed[r] or b"" for r in sealed]
        plain = self._ctx.keyring.open_subject(self._keys, [self._ids[r] for r in sealed], blobs, _DOC)
        for row, document in zip(sealed, plain, strict=True):
            self._docs[row] = orjson.loads(document)
        return [doc for r in rows if (doc := self._docs[r]) is not None]

    def keys(self, hub_ids: Iterable[UUID]) -> dict[UUID, SubjectKey]:
        """Return the subject keys of golden records, loaded where necessary."""
        if hub_ids is self._asked[0]:
            return self._keys  # whoever is loaded has its key here, or none at all
        missing = [h for h in hub_ids if h not in self._keys]
        if missing:
            self._keys.update(self._ctx.keyring.subject_keys(self._conn, list(dict.fromkeys(missing))))
        return self._keys

    def vectors(self, hub_ids: Sequence[UUID], places: NDArray[np.intp]) -> Hashes:
        """Return the vectors at the given places, (n, places)."""
        return self._vectors[self.rows(hub_ids)[:, None], places]

    def evidence(
        self, hub_ids: Sequence[UUID], places: NDArray[np.intp]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (earliest, latest) time of the edits that made the values at the given places, (n, places) each."""
        rows = self.rows(hub_ids)[:, None]
        return self._earliest[rows, places], self._latest[rows, places]

    def sources(self, hub_ids: Sequence[UUID]) -> tuple[NDArray[np.int32], list[str]]:
        """Return where each field's value came from, (n, width), as places in a list of names."""
        return self._sources[self.rows(hub_ids)], self._source_names

    def source(self, hub_id: UUID, place: int) -> str:
        """Return where the value of one field came from, empty where it was never set."""
        return self._source_names[int(self._sources[self._row[hub_id], place])]

    def set(
        self, hub_id: UUID, field: str, text: str, hashed: np.uint64, evidence: tuple[int, int], source: str
    ) -> None:
        """Set one field of one golden record."""
        column, times = np.array([text], dtype=object), np.array([evidence], dtype=np.int64)
        self.set_column(
            self.rows([hub_id]), field, column, np.array([hashed], dtype=np.uint64), times[:, 0], times[:, 1], source
        )

    def set_column(
        self,
        rows: NDArray[np.intp],
        field: str,
        texts: Texts,
        hashes: Hashes,
        earliest: NDArray[np.int64],
        latest: NDArray[np.int64],
        source: str,
    ) -> None:
        """Set one field of n golden records by their rows, each named once."""
        places, place = rows.tolist(), self._order[field]
        for doc, text in zip(self._docs_at(places), texts.tolist(), strict=True):
            doc[field] = text
        self._vectors[rows, place] = hashes
        self._earliest[rows, place] = earliest
        self._latest[rows, place] = latest
        self._sources[rows, place] = self._code(source)
        self._changed.update(places)

    def set_source(self, rows: NDArray[np.intp], field: str, source: str) -> None:
        """Name another source of the value that n golden records, by their rows, have in one field."""
        self._sources[rows, self._order[field]] = self._code(source)
        self._changed.update(rows.tolist())

    def changed(self) -> list[UUID]:
        """Return the golden records that are new or changed so far."""
        return [self._ids[r] for r in sorted(self._new | self._changed)]

    def queue(self, hub_ids: Iterable[UUID]) -> None:
        """Have golden records queued for planning with the next flush; new ones are queued in any case."""
        self._queued.update(hub_ids)

    def begin(self) -> None:
        """Write what stands beside new golden records: their match keys so far, and that they are to be planned.

        For when nothing is asked of the server any more: it then has something to do while documents are made.
        """
        fresh = [h for r in sorted(self._new) if (h := self._ids[r]) not in self._begun]
        self._begun.update(fresh)
        hub.enqueue_new(self._conn, self._entity.name, fresh)
        self.match_keys.write_new(fresh)

    def flush(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Write new and changed golden records, with their match keys and those to be remembered, and queue them.

        `meanwhile` is called when only the server has something to do yet.
        """
        new, changed = sorted(self._new), sorted(self._changed - self._new)
        ids = [self._ids[r] for r in new]
        # First all that needs no answer: the last copies still run meanwhile.
        rows = [r for r in new if not self.match_keys.told_all(self._ids[r])] + changed
        self.match_keys.remember_own([self._ids[r] for r in rows], self._docs_at(rows))
        inserts, updates = self._columns(new), self._columns(changed)
        self.begin()
        meanwhile()
        hub.update_hub_records(self._conn, updates)
        self.match_keys.write()
        hub.enqueue_changes(self._conn, self._entity.name, self._queued.difference(ids))
        hub.insert_hub_records(self._conn, inserts)
        self._queued.clear()
        self._new.clear()
        self._changed.clear()

    def _columns(self, rows: Sequence[int]) -> dict[str, Sequence[Any]]:
        if not rows:
            return {}
        ids = [self._ids[r] for r in rows]
        docs = self.docs(ids)
        evidence = np.stack([self._earliest[rows], self._latest[rows]], axis=1).astype("<i8").reshape(len(rows), -1)
        derive = Derivation.of(self._entity)
        return {
            "hub_id": ids,
            "entity": [self._entity.name] * len(rows),
            "form_id": [self._form.form_id] * len(rows),
            "doc": self._ctx.keyring.seal_subject(self._keys, ids, [orjson.dumps(d) for d in docs], _DOC),
            "vector": pack_vectors(self._vectors[rows]),
            "evidence": pack_vectors(evidence.view("<u8")),
            "sources": self._names(rows),
            "facts": [orjson.dumps(derive.facts(d)) for d in docs],
            "missing_required": [derive.missing(d) for d in docs],
            "refs": [orjson.dumps(derive.refs(d)) for d in docs],
            "derived_by": [derive.name] * len(rows),
        }

    def _names(self, rows: Sequence[int]) -> list[tuple[str, ...]]:
        """Return where the values of some rows came from; many rows have the same sources."""
        known: dict[bytes, tuple[str, ...]] = {}
        out = []
        for codes in np.ascontiguousarray(self._sources[rows]):
            pattern = codes.tobytes()
            names = known.get(pattern)
            if names is None:
                names = known[pattern] = tuple([self._source_names[c] for c in codes.tolist()])
            out.append(names)
        return out

    def _codes(self, names: Sequence[str]) -> list[int]:
        return [self._code(name) for name in names]

    def _code(self, name: str) -> int:
        code = self._source_codes.get(name)
        if code is None:
            code = self._source_codes[name] = len(self._source_names)
            self._source_names.append(name)
        return code


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


def _evidence(blob: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pair = np.frombuffer(blob, dtype="<i8").astype(np.int64).reshape(2, -1)
    return pair[0], pair[1]


def _fact(text: str) -> str | None:
    return None if text in (NULL, "-") else text[2:]
