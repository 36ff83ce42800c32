"""How the APIs of before v3 show records: ids are numbers, every property tells when and by whom it was set.

Stamps are epoch milliseconds, as numbers where HubSpot stamps and as texts where they are values. Source: legacy
documentation (contacts v1, companies v2, deals v1, CRM pipelines v1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from crm_sync.emulators.hubspot.associations import Associations
from crm_sync.emulators.hubspot.batches import Answer
from crm_sync.emulators.hubspot.bodies import mapping
from crm_sync.emulators.hubspot.calls import Call
from crm_sync.emulators.hubspot.identity import addresses
from crm_sync.emulators.hubspot.pipelines import Pipelines
from crm_sync.emulators.hubspot.properties import milliseconds
from crm_sync.emulators.hubspot.records import Records
from crm_sync.emulators.hubspot.refusals import BAD_VALUES, PORTAL_ID, Refusal, invalid
from crm_sync.emulators.hubspot.routing import Handler
from crm_sync.emulators.state import Record

PAGE = 100
Shown = dict[str, Any]
ASSOCIATED = {
    "associatedVids": "contacts", "associatedCompanyIds": "companies", "associatedDealIds": "deals",
    "associatedTicketIds": "tickets",
}  # fmt: skip


class Legacy:
    """Records and pipelines in their old shapes."""

    def __init__(self, records: Records, associations: Associations, pipelines: Pipelines) -> None:
        self._records, self._associations, self._pipelines = records, associations, pipelines
        self._catalog = records.catalog

    # -- properties

    def _values(self, record: Record, names: Sequence[str] | None) -> dict[str, str]:
        """Return the values that a record has (of some properties, or of all), with dates in milliseconds."""
        traits, fields = self._catalog.traits(record.object), self._catalog.fields(record.object)
        own = {
            traits["created"]: str(record.created_us // 1000), traits["stamp"]: str(record.modified_us // 1000),
            "hs_object_id": record.id,
        }  # fmt: skip
        found = {name: value for name, value in record.values.items() if value is not None and name in fields}
        for name, value in found.items():
            if fields[name].type in ("date", "datetime"):
                found[name] = str(milliseconds(value))
        found |= own
        return found if names is None else {name: found[name] for name in names if name in found}

    def _versions(
        self, records: Sequence[Record], names: Sequence[str] | None
    ) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """Return record id -> property -> its values, newest first: {"name", "value", "timestamp", "source", ...}."""
        values = {one.id: self._values(one, names) for one in records}
        known = list(dict.fromkeys(name for one in values.values() for name in one))
        told = self._records.history.read(records, known)
        out: dict[str, dict[str, list[dict[str, Any]]]] = {}
        for one in records:
            stamp = self._catalog.traits(one.object)["stamp"]
            out[one.id] = {}
            for name, value in values[one.id].items():
                first = one.modified_us if name == stamp else one.created_us
                versions = [
                    {"value": entry["value"], "timestamp": milliseconds(entry["timestamp"]),
                     "source": entry["sourceType"], "sourceId": entry["sourceId"]}
                    for entry in told[one.id].get(name, [])
                ] or [{"timestamp": first // 1000, "source": "API", "sourceId": None}]  # fmt: skip
                versions[0]["value"] = value
                out[one.id][name] = [{"name": name, "sourceVid": [], **version} for version in versions]
        return out

    # -- records

    def contacts(self, records: Sequence[Record], names: Sequence[str] | None, *, history: bool = True) -> list[Shown]:
        """Return contacts; `history`: with all the values that their properties had."""
        versions = self._versions(records, names)
        return [self._contact(one, versions[one.id], history) for one in records]

    def _contact(self, record: Record, versions: Mapping[str, list[dict[str, Any]]], history: bool) -> Shown:
        properties = {
            name: {"value": found[0]["value"]} | (
                {"versions": [_old_version(one) for one in found]} if history else {}
            )
            for name, found in versions.items()
        }  # fmt: skip
        vid, at = int(record.id), record.created_us // 1000
        known = [str(record.values["email"])] if record.values.get("email") else []
        emails = dict.fromkeys([*known, *addresses(record.values.get("hs_additional_emails"))])
        identities = [
            {"type": "EMAIL", "value": email, "timestamp": at, **({"is-primary": True} if email in known else {})}
            for email in emails
        ]
        return {
            "vid": vid, "canonical-vid": vid, "merged-vids": [], "portal-id": PORTAL_ID, "is-contact": True,
            "addedAt": at, "properties": properties, "form-submissions": [], "list-memberships": [],
            "identity-profiles": [
                {"vid": vid, "saved-at-timestamp": at, "deleted-changed-timestamp": 0, "identities": identities}
            ],
            "merge-audits": [],
        }  # fmt: skip

    def companies(self, records: Sequence[Record], names: Sequence[str] | None) -> list[Shown]:
        """Return companies with their properties (None: all that have a value)."""
        versions = self._versions(records, names)
        return [
            {
                "portalId": PORTAL_ID, "companyId": int(one.id), "isDeleted": one.deleted,
                "properties": _properties(versions[one.id]), "additionalDomains": [], "stateChanges": [],
                "mergeAudits": [],
            }
            for one in records
        ]  # fmt: skip

    def deals(self, records: Sequence[Record], names: Sequence[str] | None, *, associated: bool = True) -> list[Shown]:
        """Return deals with their properties (None: all that have a value), and what they are associated with."""
        versions, ids = self._versions(records, names), [one.id for one in records]
        found = {
            key: self._associations.pairs("deals", ids, other) if associated else {}
            for key, other in ASSOCIATED.items()
        }  # fmt: skip
        return [
            {
                "portalId": PORTAL_ID, "dealId": int(one.id), "isDeleted": one.deleted,
                "associations": {key: [int(id) for id in pairs.get(one.id, {})] for key, pairs in found.items()},
                "properties": _properties(versions[one.id]), "imports": [], "stateChanges": [],
            }
            for one in records
        ]  # fmt: skip

    def links(self, given: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the associations that a new deal names ({"associatedVids": [1], ...}) as v3 has them."""
        out = []
        for key, ids in mapping(given, "associations").items():
            if key not in ASSOCIATED or not isinstance(ids, list):
                raise invalid(f"associations take arrays of ids: {', '.join(ASSOCIATED)}.")
            kind = self._associations.types.unlabeled("deals", ASSOCIATED[key])
            types = [{"associationCategory": kind.category, "associationTypeId": kind.id}]
            out += [{"to": {"id": id}, "types": types} for id in ids]
        return out

    # -- pipelines

    def deal_pipelines(self) -> list[Shown]:
        """Return the pipelines of deals as deals v1 shows them."""
        return [
            {
                "pipelineId": one["id"], "label": one["label"], "displayOrder": one["displayOrder"], "active": True,
                "staticDefault": one["id"] == "default",
                "stages": [
                    {
                        "stageId": stage["id"], "label": stage["label"], "displayOrder": stage["displayOrder"],
                        "probability": float(stage["metadata"].get("probability", 0)), "active": True,
                        "closedWon": stage["metadata"].get("probability") == "1.0",
                    }
                    for stage in one["stages"]
                ],
            }
            for one in self._pipelines.all("deals")
        ]  # fmt: skip

    def pipelines(self, object: str) -> list[Shown]:
        """Return the pipelines of an object as CRM pipelines v1 shows them."""
        shown = {"objectType": self._catalog.singular(object).upper(), "objectTypeId": self._catalog.type_id(object)}
        return [
            {
                "pipelineId": one["id"], **_labelled(one), **shown, "default": at == 0,
                "stages": [
                    {"stageId": stage["id"], **_labelled(stage), "metadata": stage["metadata"]}
                    for stage in one["stages"]
                ],
            }
            for at, one in enumerate(self._pipelines.all(object))
        ]  # fmt: skip


def _labelled(one: Mapping[str, Any]) -> Shown:
    return {
        "label": one["label"], "displayOrder": one["displayOrder"], "active": True,
        "createdAt": milliseconds(one["createdAt"]), "updatedAt": milliseconds(one["updatedAt"]),
    }  # fmt: skip


def _old_version(one: Mapping[str, Any]) -> Shown:
    return {
        "value": one["value"], "source-type": one["source"], "source-id": one["sourceId"], "source-label": None,
        "timestamp": one["timestamp"], "selected": False,
    }  # fmt: skip


def _properties(versions: Mapping[str, list[dict[str, Any]]]) -> Shown:
    """Return properties as companies and deals show them: the latest value, and all of them as its versions."""
    return {
        name: {key: found[0][key] for key in ("value", "timestamp", "source", "sourceId")} | {"versions": found}
        for name, found in versions.items()
    }


# -- requests and refusals


def page_bounds(call: Call, name: str, offset_name: str, most: int) -> tuple[int, int]:
    """Return how many records a page has (PAGE unless asked, `most` whatever is asked), and its offset."""
    limit = min(call.whole(name, PAGE), most)
    if limit < 1:
        raise invalid(f"{name} must be 1 at least.")
    return limit, call.whole(offset_name, 0)


def worded(act: Handler) -> Handler:
    """Let refusals of a write be worded as of old: validationResults, and the profile that has an address already."""

    def answer(call: Call) -> Answer:
        try:
            return act(call)
        except Refusal as refused:
            raise Refusal(refused.status, _old_words(refused), refused.headers) from None

    return answer


def _old_words(refused: Refusal) -> Mapping[str, Any]:
    message = str(refused.body.get("message"))
    if message.startswith(BAD_VALUES):
        results = orjson.loads(message.removeprefix(BAD_VALUES))
        return {"status": "error", "message": "Property values were not valid", "validationResults": results}
    said, _, id = message.partition(". Existing ID: ")
    if refused.status == 409 and said.startswith("Contact "):
        profile = {"vid": int(id), "isNew": False}
        return {"status": "error", "message": said, "error": "CONTACT_EXISTS", "identityProfile": profile}
    return refused.body
