"""Shadows and write intents of links, between their stored form and arrays.

Belongs here: decoding, encoding, and recomputing in a new form. Not here: what they mean (steps/merging), the SQL
(store/links).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import orjson
from numpy.typing import NDArray

from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens, doc_texts
from crm_sync.records import ABSENT, MISSING, Hashes, Mask, columns
from crm_sync.steps.hashing import hash_texts, pack_masks, pack_vectors, unpack_masks, unpack_vectors
from crm_sync.steps.merging import Sent, Shadow, reform
from crm_sync.store.database import Connection
from crm_sync.store.forms import Form, load_form
from crm_sync.store.links import LinkRow
from crm_sync.store.outbox import Unsettled

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

BASE = "shadow.base"
PAYLOAD = "outbox.payload"


def unseal(ctx: Context, goldens: Goldens, hub_ids: Sequence[UUID], blobs: Sequence[bytes], purpose: str) -> list[Any]:
    """Decrypt JSON documents kept under subject keys."""
    keys = goldens.keys(hub_ids)
    return [orjson.loads(b) for b in ctx.keyring.open_subject(keys, hub_ids, blobs, purpose)]


def seal(
    ctx: Context, goldens: Goldens, hub_ids: Sequence[UUID], documents: Sequence[Any], purpose: str
) -> list[bytes]:
    """Encrypt JSON documents under subject keys."""
    keys = goldens.keys(hub_ids)
    return ctx.keyring.seal_subject(keys, hub_ids, [orjson.dumps(d) for d in documents], purpose)


def decode(
    ctx: Context,
    conn: Connection,
    lens: Lens,
    goldens: Goldens,
    links: Sequence[LinkRow | None],
    hub_ids: Sequence[UUID],
) -> Shadow:
    """Return the shadows of links in the current form, (n, width); None, or a link without a shadow, is unknown.

    Shadows in an older form are recomputed from their base; the golden records must be loaded.
    """
    shadow = Shadow.unknown(len(links), lens.width)
    current: list[int] = []
    older: dict[int, list[int]] = {}
    for row, link in enumerate(links):
        if link is not None and link.form_id == lens.form.form_id:
            current.append(row)
        elif link is not None and link.form_id is not None:
            older.setdefault(link.form_id, []).append(row)
    if current:
        here = [link for r in current if (link := links[r]) is not None]
        shadow.crm[current] = unpack_vectors([h.crm_vector or b"" for h in here], lens.width)
        shadow.hub[current] = unpack_vectors([h.hub_vector or b"" for h in here], lens.width)
        shadow.crm_known[current] = unpack_masks([h.crm_known or b"" for h in here], lens.width)
        shadow.hub_known[current] = unpack_masks([h.hub_known or b"" for h in here], lens.width)
    for form_id, rows in older.items():
        old = load_form(conn, form_id)
        there = [link for r in rows if (link := links[r]) is not None]
        ids = [hub_ids[r] for r in rows]
        bases = unseal(ctx, goldens, [h.hub_id for h in there], [h.base or b"" for h in there], BASE)
        texts = lift_documents(lens, bases)
        old_hub = unpack_vectors([h.hub_vector or b"" for h in there], len(old.fields))
        old_known = unpack_masks([h.hub_known or b"" for h in there], len(old.fields))
        same = old_known & (_hub_in(ctx, lens, goldens, old, ids) == old_hub)
        # A field that is newly mapped has no base, though its source may be known under another name.
        has_base = (texts != ABSENT) & np.array([f.name in old.fields for f in lens.fields], dtype=np.bool_)
        renewed = reform(lens.hash(texts), has_base, _by_name(lens, old, same), goldens.vectors(ids, lens.places))
        shadow.crm[rows], shadow.hub[rows] = renewed.crm, renewed.hub
        shadow.crm_known[rows], shadow.hub_known[rows] = renewed.crm_known, renewed.hub_known
    return shadow


def lift_documents(lens: Lens, documents: Sequence[Mapping[str, Any]]) -> NDArray[np.object_]:
    """Return the canonical texts, (n, width), of {source field: value} documents under the current mapping."""
    names = sorted({s for f in lens.mapped for s in (f.source,)})
    lifted = lens.lift(columns(names, documents))
    return lens.texts(lifted.texts, len(documents))


def _hub_in(ctx: Context, lens: Lens, goldens: Goldens, old: Form, hub_ids: Sequence[UUID]) -> Hashes:
    docs = goldens.docs(hub_ids)
    known = {f.name: f for f in lens.entity.fields}
    out = np.zeros((len(docs), len(old.fields)), dtype=np.uint64)
    key = ctx.keyring.vector_key_of(old.key_id)
    for place, name in enumerate(old.fields):
        if name in known:
            out[:, place] = hash_texts(doc_texts(docs, [known[name]]), key)[:, 0]
    return out


def _by_name(lens: Lens, old: Form, mask: Mask) -> Mask:
    out = np.zeros((len(mask), lens.width), dtype=np.bool_)
    for position, field in enumerate(lens.fields):
        if field.name in old.fields:
            out[:, position] = mask[:, old.fields.index(field.name)]
    return out


def decode_sent(
    ctx: Context, conn: Connection, lens: Lens, goldens: Goldens, intents: Sequence[Unsettled | None]
) -> Sent:
    """Return write intents in the current form, (n, width); None carries nothing."""
    sent = Sent.nothing(len(intents), lens.width)
    for row, intent in enumerate(intents):
        if intent is None:
            continue
        if intent.form_id == lens.form.form_id:
            sent.crm[row] = unpack_vectors([intent.crm_vector], lens.width)[0]
            sent.hub[row] = unpack_vectors([intent.hub_vector], lens.width)[0]
            sent.mask[row] = unpack_masks([intent.mask], lens.width)[0]
            continue
        old = load_form(conn, intent.form_id)
        (payload,) = unseal(ctx, goldens, [intent.hub_id], [intent.payload], PAYLOAD)
        texts = lift_documents(lens, [payload])
        carried = _by_name(lens, old, unpack_masks([intent.mask], len(old.fields)))[0]
        old_hub = unpack_vectors([intent.hub_vector], len(old.fields))
        same = _by_name(lens, old, _hub_in(ctx, lens, goldens, old, [intent.hub_id]) == old_hub)[0]
        now = goldens.vectors([intent.hub_id], lens.places)[0]
        sent.crm[row] = lens.hash(texts)[0]
        # A hub value that moved since has no hash in the new form; one that equals nothing has the same effect.
        sent.hub[row] = np.where(same, now, ~now)
        sent.mask[row] = carried & (texts[0] != ABSENT)
    return sent


def created_shadow(lens: Lens, sent: Sent) -> Shadow:
    """Return the shadows of records that we created: what was not carried is null there, which reflects the hub where
    that is null too."""
    known = np.broadcast_to(lens.writable(), sent.mask.shape)
    # Else the first value that a person fills in there would look like a conflict with a hub that nobody touched.
    same = known & (sent.hub == lens.null)
    return Shadow(np.where(sent.mask, sent.crm, lens.null), sent.hub, known | sent.mask, sent.mask | same)


def encode(
    lens: Lens,
    link_ids: Sequence[int],
    shadow: Shadow,
    gates: Sequence[int],
    versions: Sequence[str | None],
    stamps: Sequence[datetime | None],
    bases: Sequence[bytes],
    wrote: Sequence[bool],
) -> dict[str, Sequence[Any]]:
    """Return shadows as columns to store; all arguments have the same length and order."""
    return {
        "link_id": link_ids,
        "form_id": [lens.form.form_id] * len(link_ids),
        "crm_vector": pack_vectors(shadow.crm),
        "hub_vector": pack_vectors(shadow.hub),
        "crm_known": pack_masks(shadow.crm_known),
        "hub_known": pack_masks(shadow.hub_known),
        "gate": gates,
        "version": versions,
        "stamp": stamps,
        "base": bases,
        "wrote": wrote,
    }


def rows_of(shadow: Shadow, rows: NDArray[np.intp] | Sequence[int]) -> Shadow:
    """Return some rows of a shadow."""
    return Shadow(shadow.crm[rows], shadow.hub[rows], shadow.crm_known[rows], shadow.hub_known[rows])


def decided_base(old: Mapping[str, Any], new: Mapping[str, Any], sources: Sequence[str]) -> dict[str, Any]:
    """Return the base after a read: the sources decided on take the new value, the others keep the old."""
    merged = dict(old)
    for source in sources:
        if new.get(source, MISSING) is not MISSING:
            merged[source] = new[source]
    return merged
