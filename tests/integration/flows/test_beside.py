"""A process beside looks at batches as this one does, and is not missed when it dies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from crm_sync.flows.batches import Viewed
from crm_sync.flows.beside import Beside, look
from crm_sync.flows.context import Context
from crm_sync.flows.lens import Lens
from crm_sync.ports import Lane
from crm_sync.steps.matching import Digester
from tests.integration.conftest import _template, server_url  # noqa: F401
from tests.scenarios.conftest import SetStage, set_stage  # noqa: F401
from tests.scenarios.reading import compare
from tests.scenarios.stage import Stage

SEED = 424
MATCH_KEY = b"the secret of match keys"


@pytest.fixture(scope="module")
def stage(set_stage: SetStage) -> Iterator[Stage]:  # noqa: F811
    """Return a stage with people, none of them read yet."""
    with set_stage(seed=SEED, accounts=40, contacts=300, invalid_share=0.3) as ready:
        yield ready


@contextmanager
def started() -> Iterator[Beside]:
    """Start a process and wait until it is of use."""
    with Beside(MATCH_KEY) as beside:
        beside.start()
        await_ready(beside)
        yield beside


def await_ready(beside: Beside) -> None:
    until = time.monotonic() + 60
    while not beside.ready():
        assert time.monotonic() < until, "the process did not come up"
        time.sleep(0.02)


def documents(ctx: Context, lens: Lens) -> list[bytes]:
    pages = ctx.connector(lens.name).snapshot(lens.mapping, None, Lane.RECONCILE)
    return [raw for page in pages for raw in page.batch.raw]


def told(viewed: Viewed) -> list[object]:
    """Return all that later steps use of what was seen."""
    batch, judged = viewed.batch, viewed.judged()
    return [
        batch.record_ids, batch.versions, batch.stamps.tolist(), batch.deleted.tolist(), batch.merged_into,
        batch.hub_ids, batch.raw, viewed.gates, viewed.scope.tolist(), viewed.stamps,
        {name: column.tolist() for name, column in judged.texts.items()}, judged.hashes.tolist(), judged.reasons,
        [(i.keys, dict(i.vetoes)) for i in judged.identities], judged.bases,
    ]  # fmt: skip


@pytest.mark.parametrize("connection", ["salesforce", "hubspot", "dynamics"])
def test_it_sees_what_this_process_sees(stage: Stage, connection: str) -> None:
    with stage.opened() as ctx, started() as beside:
        for entity in ("account", "contact"):
            lens = ctx.lens(connection, entity)
            raw = documents(ctx, lens)
            here, there = look(lens, raw), beside.look(lens, raw)
            assert told(there) == told(here)
            digester = Digester(entity, MATCH_KEY)
            assert there.judged().digests == digester.digests(k for i in here.judged().identities for k in i.keys)
            assert there.batch.values == {} and here.batch.values != {}, "it was looked at here"
            some = list(range(0, len(raw), 3))
            assert told(there.part(some)) == told(here.part(some))
            if (connection, entity) == ("hubspot", "contact"):
                assert here.judged().reasons, "nothing to refuse: the seed shows too little"


def test_who_asks_at_once_is_answered_each(stage: Stage) -> None:
    with stage.opened() as ctx, started() as beside, ThreadPoolExecutor(max_workers=4) as pool:
        streams = [ctx.lens(connection, "contact") for connection in ("salesforce", "hubspot", "dynamics")] * 4
        wanted = {lens.name: documents(ctx, lens) for lens in streams[:3]}
        seen = list(pool.map(lambda lens: told(beside.look(lens, wanted[lens.name])), streams))
        assert seen == [told(look(lens, wanted[lens.name])) for lens in streams[:3]] * 4


def test_who_is_killed_is_not_missed(stage: Stage) -> None:
    with stage.opened() as ctx, started() as beside:
        lens = ctx.lens("hubspot", "contact")
        raw = documents(ctx, lens)
        assert beside._process is not None
        beside._process.kill()
        beside._process.wait()
        assert told(beside.look(lens, raw)) == told(look(lens, raw))
        assert not beside.ready()


def test_what_cannot_be_looked_at_is_told_here(stage: Stage) -> None:
    with stage.opened() as ctx, started() as beside:
        lens = ctx.lens("hubspot", "contact")
        with pytest.raises(ValueError, match="invalid literal"):
            beside.look(lens, [b"no document"])
        assert told(beside.look(lens, documents(ctx, lens)))


def test_it_ends_with_its_pipe(stage: Stage) -> None:
    with started() as beside:
        process = beside._process
    assert process is not None and process.returncode == 0


def test_many_batches_are_absorbed_with_its_help(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    ask, start = Beside._ask, Beside.start

    def starting(self: Beside) -> None:
        start(self)
        await_ready(self)

    def counting(self: Beside, lens: Lens, raw: list[bytes]) -> object:
        asked.append(len(raw))
        return ask(self, lens, raw)

    monkeypatch.setattr(Beside, "_ask", counting)
    monkeypatch.setattr(Beside, "start", starting)
    stage.settle(batch_rows=20)
    assert len(asked) >= 5
    for entity in ("account", "contact"):
        assert compare(stage, entity).differences == []
