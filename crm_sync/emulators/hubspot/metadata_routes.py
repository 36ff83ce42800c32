"""Endpoints of what the portal is made of: properties and groups, pipelines, owners, schemas."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crm_sync.emulators.hubspot.batches import Answer, envelope, inputs_of
from crm_sync.emulators.hubspot.bodies import texts
from crm_sync.emulators.hubspot.calls import Call
from crm_sync.emulators.hubspot.definitions import Definitions
from crm_sync.emulators.hubspot.owners import owner, owners
from crm_sync.emulators.hubspot.pipelines import Pipelines
from crm_sync.emulators.hubspot.refusals import Refusal, invalid
from crm_sync.emulators.hubspot.routing import Endpoint, silent
from crm_sync.emulators.hubspot.schemas import Schemas
from crm_sync.emulators.state import State

MAX_OWNERS = 500


def _results(found: list[Any]) -> Answer:
    return 200, {"results": found}


class MetadataRoutes:
    """The endpoints of definitions."""

    def __init__(self, state: State, definitions: Definitions, pipelines: Pipelines, schemas: Schemas) -> None:
        self._state, self._definitions, self._pipelines, self._schemas = state, definitions, pipelines, schemas

    def table(self) -> list[Endpoint]:
        """Return the endpoints; the first match counts."""
        return [*self._property_table(), *self._pipeline_table(), *self._owner_table(), *self._schema_table()]

    # -- properties

    def _property_table(self) -> list[Endpoint]:
        base, known = "/crm/v3/properties/{object}", self._definitions
        group = f"{base}/groups/{{group}}"
        return [
            Endpoint("GET", base, self._properties),
            Endpoint("POST", base, lambda c: (201, known.create(c.object(), c.mapping()))),
            Endpoint("POST", f"{base}/batch/read", self._read_properties),
            Endpoint("POST", f"{base}/batch/create", self._create_properties),
            Endpoint("POST", f"{base}/batch/archive", self._archive_properties),
            Endpoint("GET", f"{base}/groups", lambda c: _results(known.groups(c.object()))),
            Endpoint("POST", f"{base}/groups", lambda c: (201, known.create_group(c.object(), c.mapping()))),
            Endpoint("GET", group, lambda c: (200, known.group(c.object(), c.params["group"]))),
            Endpoint("PATCH", group, lambda c: (200, known.update_group(c.object(), c.params["group"], c.mapping()))),
            Endpoint("DELETE", group, silent(lambda c: known.drop_group(c.object(), c.params["group"]))),
            Endpoint("GET", f"{base}/{{name}}", self._get_property),
            Endpoint(
                "PATCH", f"{base}/{{name}}", lambda c: (200, known.update(c.object(), c.params["name"], c.mapping()))
            ),
            Endpoint("DELETE", f"{base}/{{name}}", silent(lambda c: known.archive(c.object(), c.params["name"]))),
        ]

    def _properties(self, call: Call) -> Answer:
        sensitivity = call.one("dataSensitivity")
        return _results(self._definitions.all(call.object(), archived=call.flag("archived"), sensitivity=sensitivity))

    def _get_property(self, call: Call) -> Answer:
        return 200, self._definitions.get(call.object(), call.params["name"], archived=call.flag("archived"))

    def _read_properties(self, call: Call) -> Answer:
        archived = bool(call.mapping().get("archived"))
        return self._each(
            call, 200, lambda one: self._definitions.get(call.object(), str(one.get("name")), archived=archived)
        )

    def _create_properties(self, call: Call) -> Answer:
        return self._each(call, 201, lambda one: self._definitions.create(call.object(), one))

    def _each(self, call: Call, good_status: int, answer: Callable[[Any], dict[str, Any]]) -> Answer:
        results, errors = [], []
        for one in inputs_of(call.document()):
            try:
                results.append(answer(one))
            except Refusal as refused:
                if refused.status == 501:
                    raise
                errors.append(refused.item())
        return envelope(self._state.now_us(), good_status, results, errors)

    def _archive_properties(self, call: Call) -> Answer:
        for one in inputs_of(call.document()):
            self._definitions.archive(call.object(), str(one.get("name")))
        return 204, None

    # -- pipelines

    def _pipeline_table(self) -> list[Endpoint]:
        base, kept = "/crm/v3/pipelines/{object}", self._pipelines
        one = f"{base}/{{id}}"
        stage = f"{one}/stages/{{stage}}"

        def ids(c: Call) -> tuple[str, str, str]:
            return c.object(), c.params["id"], c.params.get("stage", "")

        return [
            Endpoint("GET", base, lambda c: _results(kept.all(c.object()))),
            Endpoint("POST", base, lambda c: (201, kept.create(c.object(), c.mapping()))),
            Endpoint("GET", one, lambda c: (200, kept.get(*ids(c)[:2]))),
            Endpoint("PATCH", one, lambda c: (200, kept.update(*ids(c)[:2], c.mapping(), replace=False))),
            Endpoint("PUT", one, lambda c: (200, kept.update(*ids(c)[:2], c.mapping(), replace=True))),
            Endpoint("DELETE", one, silent(lambda c: kept.delete(*ids(c)[:2]))),
            Endpoint("GET", f"{one}/stages", lambda c: _results(kept.get(*ids(c)[:2])["stages"])),
            Endpoint("POST", f"{one}/stages", lambda c: (201, kept.create_stage(*ids(c)[:2], c.mapping()))),
            Endpoint("GET", stage, lambda c: (200, kept.get_stage(*ids(c)))),
            Endpoint("PATCH", stage, lambda c: (200, kept.update_stage(*ids(c), c.mapping()))),
            Endpoint("PUT", stage, lambda c: (200, kept.update_stage(*ids(c), c.mapping()))),
            Endpoint("DELETE", stage, silent(lambda c: kept.delete_stage(*ids(c)))),
        ]

    # -- owners

    def _owner_table(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/crm/v3/owners", self._owners),
            Endpoint("GET", "/crm/v3/owners/{id}", self._owner),
        ]

    def _owners(self, call: Call) -> Answer:
        limit = call.whole("limit", 100)
        if not 0 < limit <= MAX_OWNERS:
            raise invalid(f"The limit of a list of owners is between 1 and {MAX_OWNERS}.")
        found, following = owners(
            email=call.one("email"), archived=call.flag("archived"), after=call.whole("after", 0), limit=limit
        )
        body: dict[str, Any] = {"results": found}
        return 200, body if following is None else body | {"paging": call.following(str(following))}

    def _owner(self, call: Call) -> Answer:
        return 200, owner(call.params["id"], call.one("idProperty") or "id", archived=call.flag("archived"))

    # -- schemas

    def _schema_table(self) -> list[Endpoint]:
        kept = self._schemas
        out = []
        for base, dated in (("/crm-object-schemas/v3/schemas", True), ("/crm/v3/schemas", False)):
            one, links = f"{base}/{{object}}", f"{base}/{{object}}/associations"
            out += [
                Endpoint("GET", base, lambda c: _results(kept.all(archived=c.flag("archived"))), dated=dated),
                Endpoint("POST", base, lambda c: (201, kept.create(c.mapping())), dated=dated),
                Endpoint("POST", f"{base}/batch/read", self._read_schemas, dated=dated),
                Endpoint("GET", one, lambda c: (200, kept.get(c.object())), dated=dated),
                Endpoint("PATCH", one, lambda c: (200, kept.update(c.object(), c.mapping())), dated=dated),
                Endpoint(
                    "DELETE", one, silent(lambda c: kept.delete(c.object(), purge=c.flag("archived"))), dated=dated
                ),
                Endpoint("POST", links, lambda c: (201, kept.connect(c.object(), c.mapping())), dated=dated),
                Endpoint(
                    "DELETE",
                    f"{links}/{{id}}",
                    silent(lambda c: kept.disconnect(c.object(), c.params["id"])),
                    dated=dated,
                ),
            ]
        return out

    def _read_schemas(self, call: Call) -> Answer:
        given = call.mapping()
        names = texts(given, "inputs")
        if not names:
            raise invalid("Invalid input JSON: inputs must not be empty.")
        found = [self._schemas.get(call.catalog.resolve(one)) for one in dict.fromkeys(names)]
        if not given.get("includePropertyDefinitions", True):
            found = [one | {"properties": []} for one in found]
        if not given.get("includeAssociationDefinitions", True):
            found = [one | {"associations": []} for one in found]
        return envelope(self._state.now_us(), 200, found, [])
