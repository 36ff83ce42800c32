"""Endpoints of before v3, which older clients and taps still call: contacts v1, companies v2, deals v1, pipelines v1.

HubSpot serves them until September 2027. Engagements v1: legacy_engagements.py. Lists, forms and e-mail events are not
emulated (501). Source: legacy documentation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from crm_sync.emulators.hubspot.batches import Answer
from crm_sync.emulators.hubspot.bodies import mappings
from crm_sync.emulators.hubspot.calls import Call
from crm_sync.emulators.hubspot.consent import old_definitions
from crm_sync.emulators.hubspot.definitions import Definitions
from crm_sync.emulators.hubspot.identity import CONTACTS
from crm_sync.emulators.hubspot.legacy import Legacy, Shown, page_bounds, worded
from crm_sync.emulators.hubspot.limits import Limits
from crm_sync.emulators.hubspot.records import NUMBER, Records
from crm_sync.emulators.hubspot.refusals import Refusal, invalid, refusal
from crm_sync.emulators.hubspot.routing import Endpoint, Handler
from crm_sync.emulators.hubspot.writing import Writer
from crm_sync.emulators.state import Record

MOST, MOST_RECENT, MOST_CONTACTS, WINDOW = 250, 100, 100, 10_000
OF_CONTACTS = ("firstname", "lastname", "company", "lastmodifieddate")
"""What a list of contacts shows unless properties are named."""
COMPANIES, DEALS = "companies", "deals"


class LegacyRoutes:
    """The endpoints of before v3."""

    def __init__(
        self, records: Records, writer: Writer, legacy: Legacy, definitions: Definitions, limits: Limits
    ) -> None:
        self._records, self._writer, self._legacy = records, writer, legacy
        self._definitions, self._limits, self._state = definitions, limits, records.state

    def table(self) -> list[Endpoint]:
        """Return the endpoints; the first match counts."""
        return [*self._property_table(), *self._contact_table(), *self._company_table(), *self._deal_table()]

    def _property_table(self) -> list[Endpoint]:
        known, shown = self._definitions, self._legacy
        return [
            Endpoint("GET", "/properties/v1/{object}/properties", lambda c: (200, known.legacy(c.object()))),
            Endpoint("GET", "/properties/v2/{object}/properties", lambda c: (200, known.legacy(c.object()))),
            Endpoint("GET", "/properties/v1/{object}/properties/named/{name}", self._property),
            Endpoint("GET", "/properties/v2/{object}/properties/named/{name}", self._property),
            Endpoint("GET", "/companies/v2/properties", lambda c: (200, known.legacy(COMPANIES))),
            Endpoint("GET", "/deals/v1/pipelines", lambda c: (200, shown.deal_pipelines())),
            Endpoint(
                "GET", "/crm-pipelines/v1/pipelines/{object}", lambda c: (200, {"results": shown.pipelines(c.object())})
            ),
            Endpoint("GET", "/integrations/v1/limit/daily", self._usage),
            Endpoint(
                "GET", "/email/public/v1/subscriptions", lambda _: (200, {"subscriptionDefinitions": old_definitions()})
            ),
        ]

    def _contact_table(self) -> list[Endpoint]:
        one, lists = "/contacts/v1/contact", "/contacts/v1/lists"
        by_vid, by_email = f"{one}/vid/{{id}}", f"{one}/email/{{email}}"
        return [
            Endpoint("GET", f"{lists}/all/contacts/all", self._contacts),
            Endpoint("GET", f"{lists}/all/contacts/recent", self._recent_contacts("created_us")),
            Endpoint("GET", f"{lists}/recently_updated/contacts/recent", self._recent_contacts("modified_us")),
            Endpoint("GET", f"{one}/vids/batch", self._contact_batch),
            Endpoint("GET", f"{by_vid}/profile", lambda c: self._profile(c, self._find(CONTACTS, c))),
            Endpoint("GET", f"{by_email}/profile", lambda c: self._profile(c, self._by_email(c))),
            Endpoint("POST", one, worded(self._create_contact)),
            Endpoint("POST", f"{one}/createOrUpdate/email/{{email}}", worded(self._upsert_contact)),
            Endpoint("POST", f"{by_vid}/profile", worded(self._update_contact)),
            Endpoint("DELETE", by_vid, self._delete_contact),
        ]

    def _company_table(self) -> list[Endpoint]:
        base, shown = "/companies/v2/companies", self._legacy.companies
        return self._object_table(base, COMPANIES, shown, self._company_page, self._delete_company)

    def _deal_table(self) -> list[Endpoint]:
        return self._object_table("/deals/v1/deal", DEALS, self._legacy.deals, self._deal_page, self._delete_deal)

    def _object_table(
        self, base: str, name: str, shown: Callable[..., list[Shown]], page: Handler, delete: Handler
    ) -> list[Endpoint]:
        return [
            Endpoint("GET", f"{base}/paged", page),
            Endpoint("GET", f"{base}/recent/modified", self._recent(name, "modified_us", shown)),
            Endpoint("GET", f"{base}/recent/created", self._recent(name, "created_us", shown)),
            Endpoint("POST", base, worded(lambda c: self._create(name, c, shown))),
            Endpoint("GET", f"{base}/{{id}}", lambda c: (200, shown([self._find(name, c)], None)[0])),
            Endpoint("PUT", f"{base}/{{id}}", worded(lambda c: self._update(name, c, shown))),
            Endpoint("DELETE", f"{base}/{{id}}", delete),
        ]

    def _property(self, call: Call) -> Answer:
        name = call.params["name"]
        for one in self._definitions.legacy(call.object()):
            if one["name"] == name:
                return 200, one
        raise refusal(404, None, f"The property {name} does not exist")

    def _usage(self, _: Call) -> Answer:
        limit, used = self._limits.of_today()
        now = self._state.now_us() // 1000
        told = {"name": "api-calls-daily", "usageLimit": limit, "currentUsage": used, "fetchStatus": "SUCCESS"}
        return 200, [told | {"collectedAt": now, "resetsAt": (now // 86_400_000 + 1) * 86_400_000}]

    # -- reading

    def _find(self, object: str, call: Call) -> Record:
        """Return the record whose number is in the path, merged ones by the record they went into."""
        try:
            return self._records.find(object, call.params["id"])
        except Refusal:
            raise refusal(404, None, f"{self._records.catalog.singular(object)} does not exist") from None

    def _by_email(self, call: Call) -> Record:
        found = self._writer.contact_of(call.params["email"])
        if found is None:
            raise refusal(404, None, "contact does not exist")
        return found

    def _page(self, object: str, call: Call, name: str, offset_name: str, most: int) -> tuple[list[Record], bool, int]:
        """Return a page by id, whether more follow, and the offset of the next: the last id of this one."""
        limit, offset = page_bounds(call, name, offset_name, most)
        found = self._state.scan(object, where=f"{NUMBER} > ?", params=[offset], order=NUMBER, limit=limit + 1)
        page = found[:limit]
        return page, len(found) > limit, int(page[-1].id) if page else offset

    def _contacts(self, call: Call) -> Answer:
        page, more, offset = self._page(CONTACTS, call, "count", "vidOffset", MOST_CONTACTS)
        return 200, {"contacts": self._shown(call, page, OF_CONTACTS), "has-more": more, "vid-offset": offset}

    def _shown(self, call: Call, records: Sequence[Record], names: Sequence[str] | None) -> list[Shown]:
        history = call.one("propertyMode", "value_and_history") == "value_and_history"
        asked = call.many("property")
        return self._legacy.contacts(records, [*asked, "lastmodifieddate"] if asked else names, history=history)

    def _profile(self, call: Call, record: Record) -> Answer:
        return 200, self._shown(call, [record], None)[0]

    def _contact_batch(self, call: Call) -> Answer:
        ids = call.many("vid")
        if len(ids) > MOST_CONTACTS:
            raise invalid(f"A batch of contacts has {MOST_CONTACTS} at most.")
        found = [one for one in self._state.get_many(CONTACTS, ids).values() if not one.deleted]
        return 200, {str(one["vid"]): one for one in self._shown(call, found, None)}

    def _recent_contacts(self, column: str) -> Handler:
        def answer(call: Call) -> Answer:
            limit, vid = page_bounds(call, "count", "vidOffset", MOST_CONTACTS)
            before = call.whole("timeOffset", 0)
            where, params = "", list[Any]()
            if before:
                where = f"{column} < ? OR ({column} < ? AND {NUMBER} < ?)"
                params = [before * 1000, (before + 1) * 1000, vid]
            order = f"{column} DESC, {NUMBER} DESC"
            found = self._state.scan(CONTACTS, where=where, params=params, order=order, limit=limit + 1)
            page = found[:limit]
            last = (getattr(page[-1], column) // 1000, int(page[-1].id)) if page else (before, vid)
            shown = self._shown(call, page, OF_CONTACTS)
            body = {"contacts": shown, "has-more": len(found) > limit, "time-offset": last[0], "vid-offset": last[1]}
            return 200, body

        return answer

    def _recent(self, object: str, column: str, shown: Callable[..., list[Shown]]) -> Handler:
        """Make the handler that lists what was changed or created since a moment, latest first, 10,000 at most."""

        def answer(call: Call) -> Answer:
            limit, offset = page_bounds(call, "count", "offset", MOST_RECENT)
            if offset >= WINDOW:
                raise invalid(f"The offset must be below {WINDOW}.")
            where, params = f"{column} >= ?", [call.whole("since", 0) * 1000]
            total = self._state.count(object, where=where, params=params)
            order = f"{column} DESC, {NUMBER}"
            page = self._state.scan(object, where=where, params=params, order=order, limit=limit, offset=offset)
            following = offset + len(page)
            body = {"results": shown(page, None), "hasMore": following < total, "offset": following, "total": total}
            return 200, body

        return answer

    def _company_page(self, call: Call) -> Answer:
        page, more, offset = self._page(COMPANIES, call, "limit", "offset", MOST)
        names = [*call.many("properties"), *call.many("propertiesWithHistory")]
        return 200, {"companies": self._legacy.companies(page, names), "has-more": more, "offset": offset}

    def _deal_page(self, call: Call) -> Answer:
        page, more, offset = self._page(DEALS, call, "limit", "offset", MOST)
        names = [*call.many("properties"), *call.many("propertiesWithHistory")]
        shown = self._legacy.deals(
            page, None if call.flag("includeAllProperties") else names, associated=call.flag("includeAssociations")
        )
        return 200, {"deals": shown, "hasMore": more, "offset": offset}

    # -- writing

    def _create_contact(self, call: Call) -> Answer:
        return 200, self._legacy.contacts([self._writer.create(CONTACTS, _given(call))], None)[0]

    def _upsert_contact(self, call: Call) -> Answer:
        found, given = self._writer.contact_of(call.params["email"]), _given(call)
        if found is None:
            properties = {"email": call.params["email"], **given["properties"]}
            return 200, {"vid": int(self._writer.create(CONTACTS, {"properties": properties}).id), "isNew": True}
        return 200, {"vid": int(self._writer.update(found, given).id), "isNew": False}

    def _update_contact(self, call: Call) -> Answer:
        self._writer.update(self._find(CONTACTS, call), _given(call))
        return 204, None

    def _delete_contact(self, call: Call) -> Answer:
        id = self._find(CONTACTS, call).id
        self._writer.archive(CONTACTS, id)
        return 200, {"vid": int(id), "deleted": True, "reason": "OK"}

    def _create(self, object: str, call: Call, shown: Callable[..., list[Shown]]) -> Answer:
        given = _given(call) | {"associations": self._legacy.links(call.mapping()) if object == DEALS else []}
        return 200, shown([self._writer.create(object, given)], None)[0]

    def _update(self, object: str, call: Call, shown: Callable[..., list[Shown]]) -> Answer:
        return 200, shown([self._writer.update(self._find(object, call), _given(call))], None)[0]

    def _delete_company(self, call: Call) -> Answer:
        id = self._find(COMPANIES, call).id
        self._writer.archive(COMPANIES, id)
        return 200, {"companyId": int(id), "deleted": True}

    def _delete_deal(self, call: Call) -> Answer:
        self._writer.archive(DEALS, self._find(DEALS, call).id)
        return 204, None


def _given(call: Call) -> dict[str, Any]:
    """Return the properties of a request as v3 has them; each is {"property" (contacts) or "name", "value"}."""
    sent = mappings(call.mapping(), "properties")
    return {"properties": {str(one.get("property") or one.get("name") or ""): one.get("value") for one in sent}}
