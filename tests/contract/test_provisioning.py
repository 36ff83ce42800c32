"""Every connector says what the CRM lacks, creates it once, and describes what is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_sync.emulators.launcher import EmulatorProcess, environment
from crm_sync.specs.model import SpecSet
from tests.contract.conftest import CRMS
from tests.contract.side import LANE, Side


@pytest.fixture
def bare(request: pytest.FixtureRequest, tmp_path: Path, specs: SpecSet) -> Iterator[Side]:
    """Give a CRM that nobody has prepared for us."""
    with EmulatorProcess(tmp_path, [request.param]) as process:
        side = Side(request.param, process.addresses, environment(process.addresses), specs)
        yield side
        side.close()


@pytest.mark.parametrize("bare", CRMS, indirect=True)
def test_provisioning_plans_applies_and_then_has_nothing_to_do(bare: Side) -> None:
    for mapping in (bare.account, bare.contact):
        assert mapping.external_key not in bare.connector.describe(mapping).fields
        plan = bare.connector.provision(mapping, apply=False)
        assert any(step.needed and mapping.external_key in step.what for step in plan)
        assert all((step.connection, bool(step.what)) == (bare.connection.name, True) for step in plan)
        assert bare.connector.provision(mapping, apply=False) == plan
        assert mapping.external_key not in bare.connector.describe(mapping).fields
        bare.connector.provision(mapping, apply=True)
        after = bare.connector.provision(mapping, apply=False)
        assert [step.what for step in after] == [step.what for step in plan]
        assert not any(step.needed for step in after)
        bare.connector.provision(mapping, apply=True)
        fields = bare.connector.describe(mapping).fields
        assert mapping.external_key in fields and fields[mapping.external_key].writable
        for mapped in mapping.fields:
            if mapped.association is None:
                assert mapped.source in fields, mapped.source


@pytest.mark.parametrize("bare", CRMS, indirect=True)
def test_what_was_provisioned_works_and_outlives_a_restart(bare: Side) -> None:
    for mapping in (bare.account, bare.contact):
        bare.connector.provision(mapping, apply=True)
    pages = list(bare.connector.changes(bare.contact, None, None, LANE))
    assert sum(len(page.batch) for page in pages) == 0 and pages[-1].watermark is not None
    command = bare.command(bare.contact, last_name="First of all", email_opt_out=True)
    if bare.contact.field("email_opt_out").options.get("as") == "text":
        command = bare.command(bare.contact, last_name="First of all", email_opt_out="true")
    [outcome] = bare.write(bare.contact, command)
    pages = list(bare.connector.changes(bare.contact, pages[-1].watermark, None, LANE))
    rows = {id: page.batch.hub_ids[row] for page in pages for row, id in enumerate(page.batch.record_ids)}
    assert rows == {outcome.record_id: str(command.hub_id)}


def test_a_description_tells_lengths_and_options(side: Side) -> None:
    fields = side.connector.describe(side.contact).fields
    for mapped in side.contact.fields:
        limit = mapped.options.get("max_length")
        if isinstance(limit, int) and mapped.source in fields and fields[mapped.source].max_length is not None:
            assert limit <= (fields[mapped.source].max_length or 0), mapped.source
    industry = side.connector.describe(side.account).fields[side.account.field("industry").source]
    assert len(industry.options) > 5
