"""Batches of up to 100 records: envelopes, what is all-or-nothing, what is partial (207)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crm_sync.emulators.faults import Faults
from crm_sync.emulators.hubspot.bodies import texts
from crm_sync.emulators.hubspot.properties import instant
from crm_sync.emulators.hubspot.records import Records
from crm_sync.emulators.hubspot.refusals import Refusal, bad_values, invalid, problem
from crm_sync.emulators.hubspot.writing import Writer, properties_of
from crm_sync.emulators.state import Record

MAX_INPUTS, MAX_HISTORIC = 100, 50

Input = Mapping[str, Any]
Answer = tuple[int, Any]
"""HTTP status and body: an object, an array, or None for no body."""


def envelope(
    now_us: int, good_status: int, results: Sequence[Mapping[str, Any]], errors: Sequence[Mapping[str, Any]]
) -> Answer:
    """Wrap the results of a batch; with errors it is a 207."""
    now = instant(now_us)
    body: dict[str, Any] = {"status": "COMPLETE", "results": list(results), "startedAt": now, "completedAt": now}
    if errors:
        body |= {"numErrors": len(errors), "errors": list(errors)}
    return (207 if errors else good_status), body


def inputs_of(document: Any, most: int = MAX_INPUTS) -> list[Input]:
    """Return the inputs of a batch request; 400 where there are too many or none."""
    inputs = document.get("inputs") if isinstance(document, Mapping) else None
    if not isinstance(inputs, list) or not all(isinstance(one, Mapping) for one in inputs):
        raise invalid("Invalid input JSON: inputs must be an array of objects.")
    if not inputs:
        raise invalid("Invalid input JSON: inputs must not be empty.")
    if len(inputs) > most:
        raise invalid(f"The maximum number of inputs supported in a batch request for this object type is {most}.")
    return inputs


def _traces(inputs: Sequence[Input]) -> bool:
    """Tell whether every input carries its own trace id, which makes a batch partial."""
    traces = [str(one.get("objectWriteTraceId") or "") for one in inputs]
    return all(traces) and len(set(traces)) == len(traces)


def _no_duplicates(ids: Sequence[str]) -> None:
    twice = sorted({one for one in ids if ids.count(one) > 1}) if len(set(ids)) < len(ids) else []
    if twice:
        raise invalid(f"Duplicate IDs found in batch input: [{', '.join(twice)}]. IDs must be unique")


class Batches:
    """Batch requests on records. The fault that strikes here: bad_record."""

    def __init__(self, records: Records, writer: Writer, faults: Faults) -> None:
        self._records, self._writer, self._faults = records, writer, faults
        self._state = records.state

    def read(self, object: str, document: Any, archived: bool) -> Answer:
        """Read records by id or unique property; missing ones share one error, trace ids or not."""
        historic = texts(document, "propertiesWithHistory")
        ids = [str(one.get("id", "")) for one in inputs_of(document, MAX_HISTORIC if historic else MAX_INPUTS)]
        id_property = document.get("idProperty")
        if id_property is None or id_property == "hs_object_id":
            found = self._state.get_many(object, ids)
        else:
            pairs = {one: self._records.unique(object, id_property, one) for one in ids}
            found = {one: record for one, record in pairs.items() if record is not None and not archived}
        live = {
            one: record for one, record in found.items() if record.deleted == archived and record.merged_into is None
        }
        unique = {record.id: record for one in dict.fromkeys(ids) if (record := live.get(one)) is not None}
        missing = [one for one in dict.fromkeys(ids) if one not in live]
        names = texts(document, "properties") or None
        return envelope(
            self._state.now_us(), 200, self._records.show_all(list(unique.values()), names, historic),
            [self._missing(object, missing)] if missing else [],
        )  # fmt: skip

    def _missing(self, object: str, ids: Sequence[str]) -> dict[str, Any]:
        what = self._records.catalog.singular(object).upper()
        return {
            "status": "error",
            "category": "OBJECT_NOT_FOUND",
            "message": f"Could not get some {what} objects, they may be deleted or not exist. Check that ids are "
            "valid.",
            "context": {"ids": list(ids)},
        }

    def create(self, object: str, document: Any) -> Answer:
        """Create records: all or none, or partially where every input has its own trace id."""

        def one(given: Input) -> dict[str, Any]:
            self._strike(object, given)
            return self._shown(self._writer.create(object, given), given)

        return self._write(inputs_of(document), one, 201)

    def update(self, object: str, document: Any) -> Answer:
        """Update records by id (or unique property); ids that do not exist make a 207 in any case."""
        inputs = inputs_of(document)
        _no_duplicates([str(one.get("id", "")) for one in inputs])
        missing: list[Input] = []
        known: list[tuple[Input, Record]] = []
        for given in inputs:
            record = self._records.live(object, given)
            if record is None:
                missing.append(given)
            else:
                known.append((given, record))
        records = {id(given): record for given, record in known}

        def one(given: Input) -> dict[str, Any]:
            self._strike(object, given)
            return self._shown(self._writer.update(records[id(given)], given), given)

        status, body = self._write([given for given, _ in known], one, 200, partial=_traces(inputs))
        if missing and body is not None:
            error = self._missing(object, [str(given.get("id")) for given in missing])
            traces = [given["objectWriteTraceId"] for given in missing if given.get("objectWriteTraceId")]
            if traces:
                error["context"]["objectWriteTraceId"] = traces
            return envelope(self._state.now_us(), status, body["results"], [*body.get("errors", []), error])
        return status, body

    def _strike(self, object: str, given: Input) -> None:
        if self._faults.strike("bad_record", object=object, target=str(given.get("id") or "")):
            name = next(iter(properties_of(given)), "hs_object_id")
            said = f"{given.get('properties', {}).get(name)} was refused for the property {name}."
            raise bad_values([problem(name, "INVALID_OPTION", said)])

    def upsert(self, object: str, document: Any) -> Answer:
        """Create or update records by a unique property; results say whether they are new."""
        inputs = inputs_of(document)
        _no_duplicates([str(one.get("id", "")) for one in inputs])
        partial = _traces(inputs)
        for given in inputs:
            if not given.get("idProperty"):
                raise invalid("Each input of an upsert needs an idProperty.")
            if given["idProperty"] == "email" and partial:
                raise invalid("Partial upserts are not supported with email as idProperty.")

        def one(given: Input) -> dict[str, Any]:
            self._strike(object, given)
            record = self._records.live(object, given)
            new = record is None
            if record is None:
                key = {given["idProperty"]: given.get("id")}
                record = self._writer.create(object, {**given, "properties": {**properties_of(given), **key}})
            else:
                record = self._writer.update(record, given)
            return self._shown(record, given) | {"new": new}

        return self._write(inputs, one, 200, partial=partial)

    def archive(self, object: str, document: Any) -> Answer:
        """Move records to the recycle bin."""
        with self._state.transaction():
            for one in inputs_of(document):
                self._writer.archive(object, str(one.get("id", "")))
        return 204, None

    def _shown(self, record: Record, given: Input) -> dict[str, Any]:
        keys = [str(given["idProperty"])] if given.get("idProperty") else []
        shown = self._records.show(record, list(dict.fromkeys([*keys, *(given.get("properties") or {})])))
        if given.get("objectWriteTraceId"):
            shown["objectWriteTraceId"] = str(given["objectWriteTraceId"])
        return shown

    def _write(
        self, inputs: Sequence[Input], one: Callable[[Input], dict[str, Any]], good_status: int,
        *, partial: bool | None = None,
    ) -> Answer:  # fmt: skip
        partial = _traces(inputs) if partial is None else partial
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        with self._state.transaction():
            for given in inputs:
                try:
                    with self._state.transaction():
                        result = one(given)
                    results.append(result)
                except Refusal as refusal:
                    if not partial or refusal.status == 501:
                        raise
                    errors.append(refusal.item(str(given["objectWriteTraceId"])))
        return envelope(self._state.now_us(), good_status, results, errors)
