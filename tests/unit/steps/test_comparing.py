"""What a comparison calls drift, lag, or neither."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest

from crm_sync.records import ABSENT, NULL
from crm_sync.specs.model import FieldMapping, FieldSpec, FieldType
from crm_sync.steps.comparing import (
    DRIFT,
    FINDING_OF,
    LAG,
    Finding,
    Standing,
    Verdict,
    differing,
    judge,
    key_of,
    lagging,
    newest_rows,
)
from crm_sync.steps.hashing import hash_texts
from crm_sync.steps.merging import Cell, CellRules, HubSide, Incoming, Sent, Shadow, merge
from crm_sync.steps.planning import Plan

KEY = "0123456789abcdef"
FLAGS = ("deleted", "in_scope", "linked", "held", "queued", "golden", "shadow")
WELL = {"in_scope", "linked", "golden", "shadow"}


def verdict_of(*true: str) -> Verdict:
    standing = Standing(**{flag: np.array([flag in true]) for flag in FLAGS})
    return Verdict(int(judge(standing)[0]))


@pytest.mark.parametrize(
    ("true", "expected"),
    [
        (WELL, Verdict.COMPARE),
        (WELL | {"queued"}, Verdict.COMPARE),
        (WELL | {"deleted"}, Verdict.MISSING_THERE),
        (WELL | {"deleted", "held", "queued"}, Verdict.MISSING_THERE),
        ({"deleted", "in_scope"}, Verdict.CLEAN),
        ({"in_scope"}, Verdict.MISSING_HERE),
        ({"in_scope", "held"}, Verdict.HELD),
        ({"in_scope", "queued"}, Verdict.QUEUED),
        (set(), Verdict.CLEAN),
        (WELL - {"in_scope"}, Verdict.LEFT_SCOPE),
        (WELL - {"golden"}, Verdict.ORPHAN_LINK),
        (WELL - {"golden"} | {"held"}, Verdict.ORPHAN_LINK),
        (WELL - {"shadow"}, Verdict.ORPHAN_LINK),
        (WELL - {"shadow"} | {"queued"}, Verdict.QUEUED),
        (WELL - {"shadow"} | {"held"}, Verdict.HELD),
        (WELL | {"held"}, Verdict.HELD),
    ],
)
def test_a_record_is_judged_by_what_is_known_of_it(true: set[str], expected: Verdict) -> None:
    assert verdict_of(*true) is expected


def test_rows_are_judged_each_by_itself() -> None:
    rows = 2 ** len(FLAGS)
    bits = np.arange(rows)[:, None] >> np.arange(len(FLAGS)) & 1
    together = judge(Standing(*(bits[:, i].astype(np.bool_) for i in range(len(FLAGS)))))
    alone = [int(verdict_of(*(f for f, b in zip(FLAGS, row, strict=True) if b))) for row in bits]
    assert together.tolist() == alone


def test_every_verdict_but_two_is_a_finding_and_every_finding_is_drift_lag_or_accounted_for() -> None:
    assert set(FINDING_OF) == set(Verdict) - {Verdict.CLEAN, Verdict.COMPARE}
    assert {*DRIFT, *LAG} == set(Finding) - {Finding.HELD, Finding.QUEUED, Finding.MOVING}


def hashes(values: list[list[str]]) -> np.ndarray:
    return hash_texts(np.array(values, dtype=object), KEY)


def one(crm: str, shadow: str | None, *, sent: str | None = None, refused: bool = False, held: bool = False) -> bool:
    flag = np.array([[True]])
    return bool(
        differing(
            hashes([[crm]]),
            np.array([[crm == ABSENT]]),
            flag & refused,
            Shadow(hashes([[shadow or NULL]]), hashes([[NULL]]), flag & (shadow is not None), flag),
            Sent(hashes([[sent or NULL]]), hashes([[NULL]]), flag & (sent is not None)),
            flag & held,
        )[0, 0]
    )


def test_a_cell_differs_where_the_crm_holds_what_was_never_decided_on() -> None:
    assert not one("t:Leeds", "t:Leeds")
    assert one("t:York", "t:Leeds")
    assert one(NULL, "t:Leeds"), "cleared"
    assert one("t:York", None), "never decided on"
    assert not one(ABSENT, "t:Leeds"), "a field that may not be read tells nothing"
    assert not one(ABSENT, None)


def test_what_waits_with_this_very_value_or_was_sent_is_no_edit_that_we_missed() -> None:
    assert not one("t:York", "t:Leeds", held=True)
    assert not one("t:York", "t:Leeds", sent="t:York")
    assert one("t:Hull", "t:Leeds", sent="t:York")


def test_a_value_that_cannot_be_taken_over_differs_although_it_reads_as_empty() -> None:
    assert not one(NULL, NULL)
    assert one(NULL, NULL, refused=True)
    assert one(NULL, "t:Leeds", sent=NULL, refused=True)


def test_a_cell_differs_exactly_where_a_read_would_decide_something() -> None:
    random = np.random.default_rng(7)
    rows, width = 4000, 3
    words = np.array([ABSENT, NULL, "t:a", "t:b", "t:c"], dtype=object)

    def texts(known: bool) -> np.ndarray:
        return words[random.integers(1 if known else 0, len(words), (rows, width))]

    def mask() -> np.ndarray:
        return random.random((rows, width)) < 0.5

    incoming_texts, hub_texts = texts(False), texts(True)
    crm, hub = hash_texts(incoming_texts, KEY), hash_texts(hub_texts, KEY)
    shadow = Shadow(hash_texts(texts(True), KEY), hash_texts(texts(True), KEY), mask(), mask())
    sent = Sent(hash_texts(texts(True), KEY), hash_texts(texts(True), KEY), mask())
    names = [f"f{i}" for i in range(width)]
    rules = CellRules.build(
        [FieldSpec(n, FieldType.TEXT) for n in names],
        [FieldMapping(n, n, "text") for n in names],
        [{"here": 0}] * width,
        "here",
        KEY,
    )
    times = random.integers(0, 9, rows)
    nothing = np.zeros((rows, width), dtype=np.bool_)
    incoming = Incoming(crm, crm, incoming_texts == ABSENT, nothing, incoming_texts == NULL, times, times + 1)
    side = HubSide(
        hashes=hub,
        null=hub_texts == NULL,
        projected=hub,
        projectable=~nothing,
        rank=random.integers(0, 2, (rows, width)).astype(np.int32),
        earliest=np.repeat(times[:, None], width, axis=1),
        latest=np.repeat(times[:, None] + 1, width, axis=1),
    )
    decided = ~np.isin(merge(rules, incoming, shadow, side, sent).cells, (Cell.KEEP, Cell.RECEIPT))
    assert decided.any() and not decided.all()
    assert (differing(crm, incoming.absent, nothing, shadow, sent, nothing) == decided).all()


def test_a_cell_lags_where_nothing_explains_that_it_was_not_sent() -> None:
    plans = np.array([[Plan.SEND, Plan.PARK, Plan.QUIET, Plan.ADVANCE]] * 3, dtype=np.uint8)
    queued = np.array([False, True, False])
    parked = np.zeros(plans.shape, dtype=np.bool_)
    parked[2, :2] = True
    assert lagging(plans, queued, parked).tolist() == [[True, True, False, False], [False] * 4, [False] * 4]


def test_of_a_record_read_twice_the_newest_version_counts() -> None:
    stamps = np.array(["2026-01-02", "2026-01-01", "2026-01-01", "2026-01-01"], dtype="datetime64[us]")
    assert newest_rows(["a", "b", "a", "b"], stamps) == [0, 3]


def test_a_key_is_ours_only_where_it_is_a_hub_id() -> None:
    ours = UUID("0199aaaa-0000-7000-8000-000000000001")
    assert key_of(str(ours)) == key_of(str(ours).upper()) == ours
    assert [key_of(text) for text in (None, "", "C-4711")] == [None] * 3
