"""Receipts: what delivered commands leave behind in crosswalk and shadows.

Belongs here: taking the values that a command carried for what the CRM holds now. Not here: outcomes of other kinds
(settling).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from crm_sync.flows import shadows
from crm_sync.flows.goldens import Goldens
from crm_sync.flows.lens import Lens
from crm_sync.records import Action, Command, Outcome
from crm_sync.steps.merging import Shadow
from crm_sync.steps.planning import delivered
from crm_sync.store import hub, inbox, links, outbox
from crm_sync.store.database import Connection

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

Pair = tuple[Command, Outcome]


@dataclass(frozen=True, slots=True)
class Carried:
    """What a command carries: field -> canonical text in the CRM's form, and its hash; `seen` is the version and stamp
    it was planned on; `yielded` are fields that are emptied for another record's sake."""

    texts: dict[str, str]
    hashes: dict[str, int]
    seen: tuple[str | None, datetime | None]
    yielded: frozenset[str] = frozenset()


def take_receipts(
    ctx: Context, conn: Connection, lens: Lens, done: Sequence[Pair], carried: Mapping[int, Carried]
) -> None:
    """Write links and shadows of delivered commands and settle them, inside the caller's transaction.

    Where a record was read and absorbed between intent and answer, that read may be newer than our write: the receipt
    counts, and a notice has the record read and merged once more, past the gate.
    """
    if not done:
        return
    goldens = Goldens(ctx, conn, lens.entity, lens.hub_form)
    roots = hub.roots(conn, lens.entity.name, [c.hub_id for c, _ in done])
    goldens.load(roots.values())
    goldens.load([c.hub_id for c, _ in done])
    intents = {u.command_id: u for u in outbox.unsettled_by_ids(conn, [c.command_id for c, _ in done])}
    pairs = [(c, o) for c, o in done if c.command_id in intents]
    made = [(c, o) for c, o in pairs if c.action is Action.CREATE]
    known = links.find_links(conn, lens.name, lens.mapping.object, [o.record_id or "" for _, o in made])
    new = {c.command_id: (c, o) for c, o in made if o.record_id and o.record_id not in known}
    # Two golden records may have been united while a record was made for each: one link is primary, the other hangs on.
    taken = links.occupied(conn, lens.name, lens.mapping.object, list(roots.values()))
    fresh: list[links.NewLink] = []
    for command, outcome in new.values():
        hub_id = roots.get(command.hub_id, command.hub_id)
        fresh.append(links.NewLink(hub_id, outcome.record_id or "", hub_id not in taken, "created"))
        taken.add(hub_id)
    ids = links.insert_links(conn, lens.entity.name, lens.name, lens.mapping.object, ctx.run_id, fresh)
    stored = links.links_by_id(conn, [i for c, _ in pairs if (i := intents[c.command_id].link_id) is not None])
    write: list[tuple[Command, Outcome, links.LinkRow | None, int]] = []
    for command, outcome in pairs:
        if command.command_id in new:
            write.append((command, outcome, None, ids[outcome.record_id or ""]))
        elif command.action is Action.UPDATE:
            link = stored.get(intents[command.command_id].link_id or 0)
            if link is not None:
                write.append((command, outcome, link, link.link_id))
    _write_shadows(ctx, conn, lens, goldens, roots, intents, write)
    overtaken = [x for c, _, x, _ in write if x is not None and (x.version, x.stamp) != carried[c.command_id].seen]
    links.forget_gates(conn, [x.link_id for x in overtaken])
    links.forget_versions(conn, [x.link_id for x in overtaken])
    # The hub may have taken what our write replaced: it must be told again.
    hub.enqueue_changes(conn, lens.entity.name, [x.hub_id for x in overtaken])
    inbox.put_notices(conn, "overtaken", [(x.connection, x.object, x.record_id) for x in overtaken])
    outbox.settle(conn, [c.command_id for c, _ in pairs])


def _write_shadows(
    ctx: Context,
    conn: Connection,
    lens: Lens,
    goldens: Goldens,
    roots: Mapping[UUID, UUID],
    intents: Mapping[int, outbox.Unsettled],
    write: Sequence[tuple[Command, Outcome, links.LinkRow | None, int]],
) -> None:
    if not write:
        return
    hub_ids = [roots.get(c.hub_id, c.hub_id) for c, _, _, _ in write]
    mine = [intents[c.command_id] for c, _, _, _ in write]
    sent = shadows.decode_sent(ctx, conn, lens, goldens, mine)
    old = shadows.decode(ctx, conn, lens, goldens, [link for _, _, link, _ in write], hub_ids)
    after = delivered(old, sent)
    created = shadows.created_shadow(lens, sent)
    fresh = np.array([link is None for _, _, link, _ in write], dtype=np.bool_)[:, None]
    shadow = Shadow(
        np.where(fresh, created.crm, after.crm),
        np.where(fresh, created.hub, after.hub),
        np.where(fresh, created.crm_known, after.crm_known),
        np.where(fresh, created.hub_known, after.hub_known),
    )
    payloads = shadows.unseal(ctx, goldens, [u.hub_id for u in mine], [u.payload for u in mine], shadows.PAYLOAD)
    with_base = [r for r, w in enumerate(write) if (link := w[2]) is not None and link.base]
    opened = shadows.unseal(
        ctx, goldens, [hub_ids[r] for r in with_base], [_base(write[r][2]) for r in with_base], shadows.BASE
    )
    bases: dict[int, dict[str, Any]] = dict(zip(with_base, opened, strict=True))
    sealed = shadows.seal(
        ctx, goldens, hub_ids, [{**bases.get(r, {}), **payload} for r, payload in enumerate(payloads)], shadows.BASE
    )
    links.upsert_shadows(
        conn,
        shadows.encode(
            lens,
            [link_id for _, _, _, link_id in write],
            shadow,
            # A receipt with a stamp tells our write from all that came before: whatever is read later counts. Without
            # one, old values with the old stamp are a read from before our write.
            [(link.gate or 0) if link and o.stamp is None else 0 for _, o, link, _ in write],
            [o.version for _, o, _, _ in write],
            [_newer(o.stamp, link.stamp if link else None) for _, o, link, _ in write],
            sealed,
            [True] * len(write),
        ),
    )


def _newer(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((stamp for stamp in (one, other) if stamp is not None), default=None)


def _base(link: links.LinkRow | None) -> bytes:
    return link.base or b"" if link else b""
