"""Other people's clients, unmodified, do with the pretend CRMs what they do with the real ones."""

from __future__ import annotations

import pytest

from tests.clients.conftest import World
from tests.clients.sessions import SESSIONS, Session

pytestmark = pytest.mark.proof

EVERY = pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.name)


@pytest.mark.parametrize(
    ("session", "step"),
    [pytest.param(session, step, id=f"{session.name}-{step}") for session in SESSIONS for step in session.steps],
)
def test_a_client_gets_through(world: World, session: Session, step: str) -> None:
    told = world.told(session)
    assert step in told, f"{session.script} has no step {step}; it has {', '.join(told)}"
    assert told[step] is None, told[step]


@EVERY
def test_no_step_is_run_that_nobody_looks_at(world: World, session: Session) -> None:
    assert sorted(world.told(session)) == sorted(session.steps)


@EVERY
def test_the_crm_holds_what_the_client_left_there(world: World, session: Session) -> None:
    world.told(session)
    _, phone = session.crm.fields
    [ann] = world.find(session, "ann")
    assert ann[phone] == "+49 30 1234567", "updated"
    assert world.find(session, "bob") == [], "deleted"
    assert len(world.find(session, "cy")) == 1, "upserted, several times"
    assert [len(world.find(session, who)) for who in ("dee", "eve")] == [1, 1], "the good rows of a batch"
    assert world.find(session, "bad") == [], "the bad row of a batch"
