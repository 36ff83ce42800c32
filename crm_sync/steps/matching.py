"""Decide which golden record a source record is.

Belongs here: match keys, and the choice among candidates. Not here: finding candidates by digest (store/matchkeys),
normalisers.

A record has the keys of every rule whose parts are all filled. Two records are one when they share a key and no veto
field of that
rule is filled on both sides and different. Rules marked `review`, and candidates that veto each other, are left to a
person.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from crm_sync.records import Texts
from crm_sync.specs.model import EntitySpec, MatchRule
from crm_sync.steps.normalising import normalise

Key = tuple[str, str]
"""(what the rule compares, normalised parts joined)."""

_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Identity:
    """What matching knows of one record: its keys, and per rule its normalised veto fields where any is filled."""

    keys: tuple[Key, ...]
    vetoes: Mapping[str, tuple[str | None, ...]]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a record belongs: a golden record by `rule`; or undecided among `candidates`, which a person must
    settle."""

    hub_id: UUID | None
    rule: str
    candidates: tuple[UUID, ...] = ()


def identities(entity: EntitySpec, texts: Mapping[str, Texts], rows: int) -> list[Identity]:
    """Return the identities of n records from their canonical texts in the hub's form; missing fields count as
    empty."""
    normalised: dict[tuple[str, str], list[str | None]] = {}

    def column(field: str, normaliser: str) -> list[str | None]:
        key = (field, normaliser)
        if key not in normalised:
            found = texts.get(field)
            normalised[key] = [None] * rows if found is None else list(normalise(normaliser, found))
        return normalised[key]

    keys: list[list[Key]] = [[] for _ in range(rows)]
    vetoes: list[dict[str, tuple[str | None, ...]]] = [{} for _ in range(rows)]
    for rule in entity.match_rules:
        name = rule.key
        parts = [column(p.field, p.normaliser) for p in rule.parts]
        for row, values in enumerate(zip(*parts, strict=True)):
            if all(values):
                keys[row].append((name, _SEPARATOR.join(values)))
        if rule.veto:
            for row, values in enumerate(zip(*(column(p.field, p.normaliser) for p in rule.veto), strict=True)):
                if any(values):
                    vetoes[row][name] = values
    return [Identity(tuple(k), v) for k, v in zip(keys, vetoes, strict=True)]


class Digester:
    """Turn match keys of one entity into their stored form: HMAC-SHA-256 cut to 128 bits. Each key is hashed once."""

    def __init__(self, entity: str, secret: bytes) -> None:
        # A copy of a begun HMAC saves hashing the padded secret for each key.
        self._begun = hmac.new(secret, f"{entity}{_SEPARATOR}".encode(), sha256)
        self._known: dict[Key, bytes] = {}

    def digests(self, keys: Iterable[Key]) -> dict[Key, bytes]:
        """Return match key -> stored form."""
        return {key: self.digest(key) for key in keys}

    def know(self, digests: Mapping[Key, bytes]) -> None:
        """Take over stored forms that were made elsewhere with the same secret."""
        self._known.update(digests)

    def digest(self, key: Key) -> bytes:
        """Return the stored form of one match key."""
        found = self._known.get(key)
        if found is None:
            begun = self._begun.copy()
            begun.update(f"{key[0]}{_SEPARATOR}{key[1]}".encode())
            found = self._known[key] = begun.digest()[:16]
        return found


def digest(entity: str, key: Key, secret: bytes) -> bytes:
    """Return the stored form of a match key."""
    return Digester(entity, secret).digest(key)


def contradicts(rule: str, one: Identity, other: Identity) -> bool:
    """Tell whether a veto field of the rule is filled on both sides and different."""
    pairs = zip(one.vetoes.get(rule, ()), other.vetoes.get(rule, ()), strict=False)
    return any(a and b and a != b for a, b in pairs)


class Matcher:
    """Place records one after the other; each placed record is a candidate for those after it.

    `known` are the identities of golden records found by digest (of the golden record and of each record linked to
    it), already
    verified on decrypted values. Golden records that turn out to be one are united; `unions` lists (loser, winner).
    """

    def __init__(self, rules: Sequence[MatchRule], known: Mapping[UUID, Iterable[Identity]]) -> None:
        self._rules = rules
        self._identities: dict[UUID, list[Identity]] = {}
        self._index: dict[Key, list[UUID]] = {}
        self._parent: dict[UUID, UUID] = {}
        self._stored = set(known)
        self.unions: list[tuple[UUID, UUID]] = []
        for hub_id, found in known.items():
            for identity in found:
                self._add(hub_id, identity)

    def root(self, hub_id: UUID) -> UUID:
        """Return the golden record that `hub_id` was united into, or itself."""
        while hub_id in self._parent:
            hub_id = self._parent[hub_id]
        return hub_id

    def attach(self, hub_id: UUID, identity: Identity) -> None:
        """Note that a record belongs to a golden record for another reason (an existing link, our external key)."""
        self._stored.add(hub_id)
        self._add(self.root(hub_id), identity)

    def place(self, identity: Identity, new: Callable[[], UUID]) -> Placement:
        """Place one record; `new` makes the id of a golden record of its own where it matches none."""
        if not any(key in self._index for key in identity.keys):
            hub_id = new()
            self._add(hub_id, identity)
            return Placement(hub_id, "new")
        linking: list[tuple[str, UUID]] = []
        asking: list[UUID] = []
        for rule in self._rules:
            for key in identity.keys:
                if key[0] != rule.key:
                    continue
                for hub_id in dict.fromkeys(self.root(h) for h in self._index.get(key, ())):
                    if any(contradicts(rule.key, identity, other) for other in self._identities[hub_id]):
                        continue
                    if rule.outcome == "link":
                        linking.append((rule.name, hub_id))
                    else:
                        asking.append(hub_id)
        candidates = list(dict.fromkeys(hub_id for _, hub_id in linking))
        if not candidates:
            doubtful = tuple(dict.fromkeys(asking))
            if doubtful:
                return Placement(None, "review", doubtful)
            hub_id = new()
            self._add(hub_id, identity)
            return Placement(hub_id, "new")
        if not self._compatible(candidates):
            return Placement(None, "ambiguous", tuple(candidates))
        winner = self._unite(candidates)
        self._add(winner, identity)
        return Placement(winner, linking[0][0])

    def _add(self, hub_id: UUID, identity: Identity) -> None:
        self._identities.setdefault(hub_id, []).append(identity)
        for key in identity.keys:
            holders = self._index.setdefault(key, [])
            if hub_id not in holders:
                holders.append(hub_id)

    def _compatible(self, candidates: Sequence[UUID]) -> bool:
        for position, one in enumerate(candidates):
            for other in candidates[position + 1 :]:
                for rule in self._rules:
                    for a in self._identities[one]:
                        if any(contradicts(rule.key, a, b) for b in self._identities[other]):
                            return False
        return True

    def _unite(self, candidates: Sequence[UUID]) -> UUID:
        # A stored golden record outlives one that this batch only thought of; else the strongest rule's comes first.
        winner = next((c for c in candidates if c in self._stored), candidates[0])
        for loser in candidates:
            if loser == winner:
                continue
            self._parent[loser] = winner
            self._identities[winner].extend(self._identities.pop(loser))
            self.unions.append((loser, winner))
        return winner
