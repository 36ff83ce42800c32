"""Know which records are the same real thing, and score a grouping against that.

A strong key of a contact: same e-mail address, or same phone, or same mobile number, each together with the same full
name (of two parts); of an account: same website host and same name. Compared without case, accents and double spaces;
phones by number. A record whose content a sync must refuse (`flaws`) shares none.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import orjson

Ref = tuple[str, str]
"""(CRM, record id)."""


@dataclass(frozen=True, slots=True)
class Score:
    """How good a grouping is: shares of pairs between 0 and 1, and the pairs that are wrong or missed.

    `missed_strong` are pairs that share a strong key, `missed_weak` those that only the truth knows to be one.
    """

    precision: float
    recall_strong: float
    recall: float
    wrong: list[tuple[Ref, Ref]]
    missed_strong: list[tuple[Ref, Ref]]
    missed_weak: list[tuple[Ref, Ref]]


def plain(text: str | None) -> str:
    """Return a text without case, accents and surplus spaces."""
    folded = unicodedata.normalize("NFKD", (text or "").casefold())
    return " ".join("".join(c for c in folded if not unicodedata.combining(c)).casefold().split())


def plain_host(website: str | None) -> str:
    """Return the host of a web address, without scheme, www, port and path."""
    text = (website or "").strip().casefold()
    text = text.split("://", 1)[-1].split("/", 1)[0].split(":", 1)[0]
    return text.removeprefix("www.")


def strong_pairs(keys: Sequence[Iterable[str]]) -> list[tuple[int, int]]:
    """Return the index pairs whose key sets meet."""
    sets = [set(one) for one in keys]
    return [(a, b) for a, b in combinations(range(len(sets)), 2) if sets[a] & sets[b]]


def read(path: Path) -> dict[str, Any]:
    """Read a truth file, as the seeder wrote it."""
    truth: dict[str, Any] = orjson.loads(path.read_bytes())
    return truth


def score(
    truth: Mapping[str, Any], groups: Iterable[Iterable[Ref]], kinds: Sequence[str] = ("accounts", "contacts")
) -> Score:
    """Score groups of (CRM, record id); records that the truth does not know are left out.

    `kinds` restricts the truth to accounts or contacts. A record in no group counts as a group of its own.
    """
    thing_of: dict[Ref, tuple[str, int]] = {}
    strong: set[frozenset[Ref]] = set()
    for kind in kinds:
        for number, records in enumerate(truth[kind]):
            thing_of |= {(one["crm"], one["id"]): (kind, number) for one in records}
        strong |= {frozenset((one["crm"], one["id"]) for one in pair) for pair in truth["strong"][kind]}
    group_of: dict[Ref, int] = {}
    wrong: list[tuple[Ref, Ref]] = []
    right = 0
    for number, group in enumerate(groups):
        known = sorted({(crm, id) for crm, id in group} & thing_of.keys())
        again = [ref for ref in known if ref in group_of]
        if again:
            raise ValueError(f"{again[0]} is in two groups; expected every record in one at most")
        group_of |= dict.fromkeys(known, number)
        right += sum(n * (n - 1) // 2 for n in Counter(thing_of[ref] for ref in known).values())
        wrong += [(a, b) for a, b in combinations(known, 2) if thing_of[a] != thing_of[b]]
    missed_strong: list[tuple[Ref, Ref]] = []
    missed_weak: list[tuple[Ref, Ref]] = []
    total = 0
    for kind in kinds:
        for records in truth[kind]:
            for a, b in combinations([(one["crm"], one["id"]) for one in records], 2):
                total += 1
                if group_of.get(a, -1) != group_of.get(b, -2):
                    (missed_strong if frozenset((a, b)) in strong else missed_weak).append((a, b))
    return Score(
        precision=right / (right + len(wrong)) if right + len(wrong) else 1.0,
        recall_strong=1 - len(missed_strong) / len(strong) if strong else 1.0,
        recall=right / total if total else 1.0,
        wrong=wrong,
        missed_strong=missed_strong,
        missed_weak=missed_weak,
    )
