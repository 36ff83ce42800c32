"""Which fault strikes: scope, count, share, log; and what is refused at arming."""

from __future__ import annotations

import pytest

from crm_sync.emulators.striking import OF_CRMS, TRANSPORT, Fault, Faults, current_request


@pytest.fixture
def faults() -> Faults:
    return Faults(now_us=lambda: 1_700_000_000_000_000)


def arm(faults: Faults, **raw: object) -> None:
    faults.add([Fault.read(raw)])


@pytest.mark.parametrize("action", OF_CRMS)
def test_every_fault_of_a_crm_strikes_so_often_and_stops(faults: Faults, action: str) -> None:
    arm(faults, action=action, times=2, skip=1)
    assert [faults.strike(action) is not None for _ in range(5)] == [False, True, True, False, False]
    assert [one["action"] for one in faults.log()] == [action] * 2 and faults.waiting() == []
    assert faults.take("GET", "/") is None


def test_scope_is_object_target_and_request(faults: Faults) -> None:
    arm(faults, action="row_lock", object="contact", times=None)
    assert faults.strike("row_lock", object="Account") is None
    assert faults.strike("row_lock", object="Contact") and faults.strike("row_lock", object="Contact")
    faults.clear()
    arm(faults, action="row_lock", path="^003", method="PATCH")
    assert faults.strike("row_lock", target="003A") is None, "no request, but the fault wants one"
    reset = current_request.set(("PATCH", "/sobjects/Contact/001"))
    assert faults.strike("row_lock", target="001") is None
    assert faults.strike("row_lock", target="003A") is not None
    arm(faults, action="row_lock", path="/sobjects/Contact")
    assert faults.strike("row_lock", target="001") is not None
    current_request.reset(reset)
    assert faults.strike("bad_record") is None


def test_options_narrow_a_fault_that_names_them(faults: Faults) -> None:
    arm(faults, action="limit", kind="daily")
    assert faults.strike("limit", kind="search") is None
    struck = faults.strike("limit", kind="daily")
    assert struck is not None and struck.options == {"kind": "daily"}
    arm(faults, action="limit")
    assert faults.strike("limit", kind="search") is not None


def test_the_same_seed_strikes_the_same_ones(faults: Faults) -> None:
    def struck(seed: int) -> list[bool]:
        arm(faults, action="bad_record", probability=0.3, seed=seed, times=None)
        found = [faults.strike("bad_record") is not None for _ in range(200)]
        faults.clear()
        return found

    assert struck(1) == struck(1) != struck(2)
    assert 30 < sum(struck(1)) < 90


def test_the_log_tells_what_struck_where_and_when(faults: Faults) -> None:
    arm(faults, action="limit", kind="daily")
    arm(faults, action="drop_before", path="/a")
    assert faults.take("GET", "/b") is None and faults.take("GET", "/a?x=1") is not None
    faults.strike("limit", object="Contact", target="003")
    moment = {"moment": "2023-11-14T22:13:20+00:00", "moment_us": 1_700_000_000_000_000, "request": ""}
    assert faults.log() == [
        {"number": 1, "action": "drop_before", "object": "", "target": "/a?x=1", "options": {}, **moment},
        {"number": 2, "action": "limit", "object": "Contact", "target": "003", "options": {"kind": "daily"}, **moment},
    ]
    assert [one["number"] for one in faults.log("limit")] == [2]
    faults.clear_log()
    assert faults.log() == []


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({"action": "explode"}, "unknown action 'explode'"),
        ({"path": "/"}, "expected an object with an action"),
        ({"action": "limit", "knid": "daily"}, "has no option 'knid'"),
        ({"action": "limit", "probability": 0}, "more than 0"),
        ({"action": "limit", "path": "("}, "missing \\)"),
    ],
)
def test_a_fault_that_is_misspelt_is_refused(raw: dict[str, object], told: str) -> None:
    with pytest.raises(Exception, match=told):
        Fault.read(raw)


def test_a_fault_that_a_crm_does_not_know_is_refused(faults: Faults) -> None:
    faults.restrict({"limit": {"does": "429", "kind": ["daily"]}})
    arm(faults, action="limit", kind="daily")
    for action in TRANSPORT:
        arm(faults, action=action)
    with pytest.raises(ValueError, match="no fault 'index_lag'; expected one of status,"):
        arm(faults, action="index_lag")
    with pytest.raises(ValueError, match="limit has no kind 'weekly' here; expected one of daily"):
        arm(faults, action="limit", kind="weekly")
