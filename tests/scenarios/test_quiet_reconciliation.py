"""After a sync of a dirty population a reconciliation raises no false alarm: what people must decide is no drift."""

from __future__ import annotations

import pytest

from crm_sync.flows.reconcile import reconcile
from crm_sync.steps.comparing import DRIFT, LAG
from tests.scenarios.conftest import SetStage
from tests.scenarios.reading import compare, well_known


@pytest.mark.slow
def test_no_false_alarm_over_a_dirty_population(set_stage: SetStage) -> None:
    with set_stage(seed=90210, accounts=300, contacts=1500) as stage:
        stage.sync()
        # Two people say different things of a birthday: that is for a third to decide.
        (_, places), *_ = well_known(stage, "contact")
        stage.change("salesforce", "contact", places["salesforce"], birth_date="1971-02-03")
        stage.change("dynamics", "contact", places["dynamics"], birth_date="1972-03-04")
        stage.settle()
        waiting = {
            "quarantined": stage.count("select count(*) from quarantine"),
            "in review": stage.count("select count(*) from review where state = 'open'"),
            "refused": stage.count("select count(*) from withheld") + stage.count("select count(*) from outbox"),
        }
        assert all(waiting.values()), f"this population holds up nothing: {waiting}"
        with stage.opened("reconcile") as ctx:
            reports = [reconcile(ctx, crm, entity) for crm, entity in ctx.specs.mappings]
        for report in reports:
            print(report.connection, report.entity, {k: n for k, n in report.counts().items() if n}, report.fields)
        assert [line for report in reports for line in report.differences()] == []
        assert all(report.is_equal for report in reports)
        assert sum(report.classes[finding] for report in reports for finding in (*DRIFT, *LAG)) == 0
        assert sum(report.classes["held"] for report in reports) >= max(waiting.values())
        assert {r.entity: compare(stage, r.entity).differences for r in reports} == {"account": [], "contact": []}
        for report in reports:
            records = stage.records(report.connection, report.entity)
            assert report.read == len(records)
            assert 0 < report.compared <= len(records)
            saved = stage.rows(
                "select compared, drifting, lagging, drift_share, counts from reconciliation "
                "where day = %s and connection = %s and entity = %s",
                [report.day, report.connection, report.entity],
            )
            assert saved == [(report.compared, 0, 0, 0.0, report.classes)]
