"""The graph as text, for the snapshot and for the tests of what a change of the rules does to it."""

from __future__ import annotations

from dagster import Definitions


def describe(definitions: Definitions) -> dict[str, object]:
    """Return keys, dependencies, groups, kinds, owners, checks, jobs, schedules and sensors as plain values."""
    graph = definitions.resolve_asset_graph()
    repository = definitions.get_repository_def()
    assets = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        assets[key.to_user_string()] = {
            "deps": sorted(parent.to_user_string() for parent in node.parent_keys),
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "owners": list(node.owners),
            "partitions": type(node.partitions_def).__name__ if node.partitions_def else None,
            "single_run": bool(node.backfill_policy and node.backfill_policy.max_partitions_per_run is None),
            "described": bool(node.description),
        }
    checks = {f"{check.asset_key.to_user_string()}: {check.name}" for check in graph.asset_check_keys}
    jobs = {
        job.name: sorted(key.to_user_string() for key in job.asset_layer.selected_asset_keys)
        for job in repository.get_all_jobs()
        if not job.name.startswith("__")
    }
    return {
        "assets": assets,
        "checks": sorted(checks),
        "jobs": dict(sorted(jobs.items())),
        "schedules": {
            one.name: {"job": one.job_name, "cron": one.cron_schedule}
            for one in sorted(repository.schedule_defs, key=lambda schedule: schedule.name)
        },
        "sensors": {s.name: sorted(t.job_name for t in s.targets) for s in repository.sensor_defs},
    }


if __name__ == "__main__":
    import json
    from pathlib import Path

    from definitions import defs

    Path(__file__).with_name("graph.json").write_text(json.dumps(describe(defs), indent=1) + "\n", encoding="utf-8")
