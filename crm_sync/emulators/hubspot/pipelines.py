"""Pipelines and their stages: deals, tickets and custom objects.

Metadata values are texts. Default ticket pipeline 0 with stages 1 to 4. Source: pipelines API reference and guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_sync.emulators.hubspot.bodies import mapping, mappings, whole
from crm_sync.emulators.hubspot.catalog import BORN, Catalog
from crm_sync.emulators.hubspot.properties import instant
from crm_sync.emulators.hubspot.refusals import Refusal, bad_values, invalid, problem, refusal
from crm_sync.emulators.state import State, field_sql

Stage = dict[str, Any]
Pipeline = dict[str, Any]
DEAL_STAGES = (
    ("appointmentscheduled", "Appointment Scheduled", "0.2"), ("qualifiedtobuy", "Qualified To Buy", "0.4"),
    ("presentationscheduled", "Presentation Scheduled", "0.6"),
    ("decisionmakerboughtin", "Decision Maker Bought-In", "0.8"), ("contractsent", "Contract Sent", "0.9"),
    ("closedwon", "Closed Won", "1.0"), ("closedlost", "Closed Lost", "0.0"),
)  # fmt: skip
TICKET_STAGES = (
    ("1", "New", "OPEN"), ("2", "Waiting on contact", "OPEN"), ("3", "Waiting on us", "OPEN"),
    ("4", "Closed", "CLOSED"),
)  # fmt: skip


def _stage(id: str, label: str, at: int, metadata: Mapping[str, Any]) -> Stage:
    return {
        "id": id, "label": label, "displayOrder": at, "metadata": {k: _text(v) for k, v in metadata.items()},
        "createdAt": BORN, "updatedAt": BORN, "archived": False, "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
    }  # fmt: skip


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _defaults(object: str) -> list[Pipeline]:
    if object == "deals":
        stages = [
            _stage(id, label, at, {"probability": chance, "isClosed": chance in ("1.0", "0.0")})
            for at, (id, label, chance) in enumerate(DEAL_STAGES)
        ]
        named = ("default", "Sales Pipeline")
    elif object == "tickets":
        stages = [
            _stage(id, label, at, {"ticketState": state, "isClosed": state == "CLOSED"})
            for at, (id, label, state) in enumerate(TICKET_STAGES)
        ]
        named = ("0", "Support Pipeline")
    else:
        return []
    shown = {"id": named[0], "label": named[1], "displayOrder": 0, "createdAt": BORN, "updatedAt": BORN}
    return [{**shown, "archived": False, "stages": stages}]


class Pipelines:
    """The pipelines of all objects; they survive a restart (meta "pipelines:OBJECT")."""

    def __init__(self, state: State, catalog: Catalog) -> None:
        self._state, self._catalog = state, catalog

    def all(self, object: str) -> list[Pipeline]:
        """Return the pipelines of an object."""
        kept: list[Pipeline] | None = self._state.get_meta(f"pipelines:{object}")
        return _defaults(object) if kept is None else kept

    def _keep(self, object: str, pipelines: list[Pipeline]) -> None:
        self._state.set_meta(f"pipelines:{object}", pipelines)

    def values(self, object: str, kind: str) -> list[str] | None:
        """Return the ids that a property of kind "pipeline" or "stage" may have."""
        pipelines = self.all(object)
        if kind == "pipeline":
            return [one["id"] for one in pipelines]
        return [stage["id"] for one in pipelines for stage in one["stages"]]

    def complete(self, object: str, values: dict[str, Any], old: Mapping[str, Any]) -> None:
        """Add the pipeline of a stage where none is given, and refuse a stage of another pipeline."""
        extra = self._catalog.traits(object)
        if "stage" not in extra or not values.get(extra["stage"]):
            return
        stage, named = values[extra["stage"]], values.get(extra["pipeline"]) or old.get(extra["pipeline"])
        if named is None:
            named = self.all(object)[0]["id"]
            values[extra["pipeline"]] = named
        stages = [one["id"] for one in self._find(object, str(named))["stages"]]
        if stage not in stages:
            said = f"{stage} is no stage of the pipeline {named}; allowed: [{', '.join(stages)}]"
            raise bad_values([problem(extra["stage"], "INVALID_OPTION", said)])

    def _find(self, object: str, id: str) -> Pipeline:
        for one in self.all(object):
            if one["id"] == id:
                return one
        raise _missing("pipeline", id)

    def get(self, object: str, id: str) -> Pipeline:
        """Return one pipeline."""
        return self._find(object, id)

    def get_stage(self, object: str, id: str, stage_id: str) -> Stage:
        """Return one stage."""
        for one in self._find(object, id)["stages"]:
            if one["id"] == stage_id:
                found: Stage = one
                return found
        raise _missing("stage", stage_id)

    def create(self, object: str, given: Mapping[str, Any]) -> Pipeline:
        """Create a pipeline from {"label", "displayOrder", "stages"}."""
        label = str(given.get("label") or "")
        stages = mappings(given, "stages")
        if not label or not stages:
            raise invalid("A pipeline needs a label and stages.")
        if any(one["label"].lower() == label.lower() for one in self.all(object)):
            raise refusal(409, "CONFLICT", f"A pipeline with the label {label} already exists.")
        made: Pipeline = {
            **self._stamped(label, given), "id": str(given.get("pipelineId") or self._new_id()),
            "stages": [self._made_stage(object, one, at) for at, one in enumerate(stages)],
        }  # fmt: skip
        self._keep(object, [*self.all(object), made])
        return made

    def _new_id(self) -> int:
        return 700_000_000 + self._state.next_number("hubspot-pipeline")

    def _stamped(self, label: str, given: Mapping[str, Any]) -> dict[str, Any]:
        now = instant(self._state.now_us())
        order = whole(given, "displayOrder", 0)
        return {"label": label, "displayOrder": order, "createdAt": now, "updatedAt": now, "archived": False}

    def _made_stage(self, object: str, given: Mapping[str, Any], at: int) -> Stage:
        metadata, label = mapping(given, "metadata"), str(given.get("label") or "")
        if not label:
            raise invalid("A stage needs a label.")
        if object == "deals" and "probability" not in metadata:
            raise invalid("A stage of a deal pipeline needs metadata.probability between 0.0 and 1.0.")
        order = whole(given, "displayOrder", at)
        made = _stage(str(given.get("stageId") or self._new_id()), label, order, metadata)
        return made | {key: value for key, value in self._stamped(label, given).items() if key != "displayOrder"}

    def update(self, object: str, id: str, given: Mapping[str, Any], *, replace: bool) -> Pipeline:
        """Change label and order; PUT (`replace`) changes the stages too."""
        old = self._find(object, id)
        changed = {**old, **{key: given[key] for key in ("label", "displayOrder") if key in given}}
        if replace:
            changed["stages"] = [self._made_stage(object, one, at) for at, one in enumerate(mappings(given, "stages"))]
        changed["updatedAt"] = instant(self._state.now_us())
        self._keep(object, [changed if one["id"] == id else one for one in self.all(object)])
        return changed

    def delete(self, object: str, id: str) -> None:
        """Delete a pipeline; 400 while records are in it."""
        self._find(object, id)
        self._unused(object, "pipeline", id)
        self._keep(object, [one for one in self.all(object) if one["id"] != id])

    def _unused(self, object: str, kind: str, id: str) -> None:
        name = self._catalog.traits(object).get(kind)
        if name and self._state.count(object, where=f"{field_sql(name)} = ?", params=[id]):
            raise invalid(f"The {kind} {id} still has records in it.")

    def create_stage(self, object: str, id: str, given: Mapping[str, Any]) -> Stage:
        """Add a stage to a pipeline."""
        old = self._find(object, id)
        made = self._made_stage(object, given, len(old["stages"]))
        self._change_stages(object, old, [*old["stages"], made])
        return made

    def update_stage(self, object: str, id: str, stage_id: str, given: Mapping[str, Any]) -> Stage:
        """Change a stage; metadata is merged."""
        old, stage = self._find(object, id), self.get_stage(object, id, stage_id)
        metadata = {**stage["metadata"], **{k: _text(v) for k, v in mapping(given, "metadata").items()}}
        changed = {**stage, **{key: given[key] for key in ("label", "displayOrder") if key in given}}
        changed |= {"metadata": metadata, "updatedAt": instant(self._state.now_us())}
        self._change_stages(object, old, [changed if one["id"] == stage_id else one for one in old["stages"]])
        return changed

    def delete_stage(self, object: str, id: str, stage_id: str) -> None:
        """Delete a stage; 400 while records are in it."""
        old = self._find(object, id)
        self.get_stage(object, id, stage_id)
        self._unused(object, "stage", stage_id)
        self._change_stages(object, old, [one for one in old["stages"] if one["id"] != stage_id])

    def _change_stages(self, object: str, old: Pipeline, stages: list[Stage]) -> None:
        changed = {**old, "stages": stages, "updatedAt": instant(self._state.now_us())}
        self._keep(object, [changed if one["id"] == old["id"] else one for one in self.all(object)])


def _missing(kind: str, id: str) -> Refusal:
    return refusal(404, "OBJECT_NOT_FOUND", f"The {kind} {id} does not exist.", context={"id": [id]})
