"""Answer SOAP calls: login, what REST has no resource for (merge, undelete), and through records.py what it has.

    POST /services/Soap/u/NN.0[/org]   partner;   /services/Soap/c/NN.0[/org]   enterprise

Tags of answers are unprefixed, as clients look for them by name. A failed call is a Fault with HTTP 500, one that is
not supported a Fault with 501. Source: SOAP API guide; simple-salesforce and jsforce read sessionId and serverUrl.
"""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from crm_sync.emulators.salesforce import ids
from crm_sync.emulators.salesforce.failures import Failure, Invalid, Problem, Unsupported
from crm_sync.emulators.salesforce.grants import Grants
from crm_sync.emulators.salesforce.moments import zulu
from crm_sync.emulators.salesforce.rest import Rest
from crm_sync.emulators.salesforce.soap.envelopes import (
    NAMESPACES,
    OBJECTS,
    Answered,
    envelope,
    failed_problem,
    fault,
    local,
    read,
    text,
    type_of,
)
from crm_sync.emulators.salesforce.soap.records import RecordCalls, version_of
from crm_sync.emulators.salesforce.values import deserialize

INVALID_LOGIN = "Invalid username, password, security token; or user locked out."
OPEN = ("login", "getServerTimestamp")


class Soap:
    """The SOAP calls of one org."""

    def __init__(self, grants: Grants, rest: Rest) -> None:
        self.grants, self.records = grants, rest.records
        self.org = rest.org
        self.record_calls = RecordCalls(self.org, rest.handle)
        self.calls: dict[str, Callable[[Element, str, str], str]] = {
            "login": self.login,
            "logout": self.logout,
            "getServerTimestamp": self.now,
            "getUserInfo": self.user_info,
            "merge": self.merge,
            "undelete": self.undelete,
            "emptyRecycleBin": self.empty,
        }

    def answer(self, kind: str, version: str, body: bytes) -> Answered:
        """Return the status and the XML of the answer."""
        try:
            call, headers = read(body)
        except (ET.ParseError, LookupError):
            return fault(kind, "soapenv:Client", "", "The request is no SOAP envelope with a call in its body")
        name, session = local(call.tag), headers.get("sessionId", "")
        try:
            of_records = kind == "u" and name in self.record_calls.calls
            if name not in self.calls and not of_records:
                raise Unsupported(f"the SOAP call {name} at /services/Soap/{kind}/{version}")
            if name not in OPEN:
                self.grants.doorman.session(session)
            self.grants.doorman.count()
            with self.org.state.transaction():
                if of_records:
                    result = self.record_calls.calls[name](call, headers, version_of(version))
                else:
                    result = self.calls[name](call, session, f"{kind}/{version}")
        except Unsupported as what:
            told = f"This pretend org does not support {what}."
            return 501, fault(kind, "sf:API_DISABLED", "NOT_IMPLEMENTED", told)[1]
        except Failure as failure:
            problem = failure.problems[0]
            told = fault(kind, f"sf:{problem.code}", problem.code, problem.message)[1]
            return 501 if failure.status == 501 else 500, told
        return 200, envelope(NAMESPACES[kind], f"<{name}Response>{result}</{name}Response>", OBJECTS)

    def login(self, call: Element, session: str, where: str) -> str:
        grants, settings = self.grants, self.grants.settings
        if grants.doorman.faults.strike("limit", kind="login"):
            raise Failure(500, Problem("LOGIN_RATE_EXCEEDED", "Login rate exceeded"))
        username = text(call, "username")
        if not username or not grants.password_fits(text(call, "password")):
            raise Failure(500, Problem("INVALID_LOGIN", INVALID_LOGIN))
        user = grants.user(username)
        token = grants.doorman.issue(user)
        return (
            f"<result><metadataServerUrl>{settings.url}/services/Soap/m/{where[2:]}/{ids.ORG}</metadataServerUrl>"
            "<passwordExpired>false</passwordExpired><sandbox>false</sandbox>"
            f"<serverUrl>{settings.url}/services/Soap/{where}/{ids.ORG}</serverUrl><sessionId>{token}</sessionId>"
            f"<userId>{user or ids.lengthen(ids.USER)}</userId>{self.info(token)}</result>"
        )

    def info(self, token: str) -> str:
        """Return the userInfo of a token."""
        who = self.grants.who(self.grants.doorman.user_of(token))
        pairs = {
            "accessibilityMode": "false", "currencySymbol": "$", "organizationId": ids.lengthen(ids.ORG),
            "organizationMultiCurrency": "false", "organizationName": "Acme", "profileId": "00eHs0000000001AAA",
            "sessionSecondsValid": f"{int(self.grants.settings.token_seconds)}", "userDefaultCurrencyIsoCode": "USD",
            "userEmail": who["email"] or "", "userFullName": who["display_name"], "userId": who["user_id"],
            "userLanguage": "en_US", "userLocale": "en_US", "userName": who["username"] or "", "userTimeZone": "GMT",
            "userType": "Standard", "userUiSkin": "Theme3",
        }  # fmt: skip
        return "<userInfo>" + "".join(f"<{key}>{escape(value)}</{key}>" for key, value in pairs.items()) + "</userInfo>"

    def user_info(self, call: Element, session: str, where: str) -> str:
        return self.info(session).replace("userInfo>", "result>")

    def logout(self, call: Element, session: str, where: str) -> str:
        self.grants.doorman.book.revoke(session)
        return ""

    def now(self, call: Element, session: str, where: str) -> str:
        return f"<result><timestamp>{zulu(self.org.state.now_us())}</timestamp></result>"

    # -- what REST has no resource for

    def merge(self, call: Element, session: str, where: str) -> str:
        """Merge up to two records into a master, whose given fields are changed first."""
        return "".join(self.merged(one) for one in call if local(one.tag) in ("request", "mergeRequest"))

    def merged(self, request: Element) -> str:
        master = next((one for one in request if local(one.tag) == "masterRecord"), None)
        losers = [one.text or "" for one in request if local(one.tag) == "recordToMergeIds"]
        kind = (text(master, "type") or type_of(master)) if master is not None else ""
        sobject = self.org.object(kind)
        if master is None or sobject is None:
            return failed_problem(Problem("INVALID_TYPE", f"sObject type '{kind}' is not supported."))
        values = {
            local(one.tag): one.text
            for one in master
            if local(one.tag) not in ("type", "Id", "id", "fieldsToNull", "attributes")
        }
        values |= {one.text or "": None for one in master if local(one.tag) == "fieldsToNull"}
        winner, parsed = ids.parse(text(master, "Id") or text(master, "id")), [ids.parse(one) for one in losers]
        try:
            with self.org.state.transaction():
                if winner is None or not all(parsed):
                    raise Invalid(Problem("MALFORMED_ID", "malformed id", ("Id",)))
                moved = self.records.bin.merge(sobject, winner, [one for one in parsed if one])
                self.records.update(sobject, winner, deserialize(self.org, sobject, values))
        except (Invalid, Failure) as failure:
            return failed_problem(failure.problems[0])
        return (
            f"<result><id>{winner}</id>"
            + "".join(f"<mergedRecordIds>{one}</mergedRecordIds>" for one in parsed)
            + "<success>true</success>"
            + "".join(f"<updatedRelatedIds>{one}</updatedRelatedIds>" for one in moved)
            + "</result>"
        )

    def undelete(self, call: Element, session: str, where: str) -> str:
        """Bring records back from the recycle bin."""
        return self.each(call, self.records.bin.undelete)

    def empty(self, call: Element, session: str, where: str) -> str:
        """Forget deleted records for good."""
        return self.each(call, lambda one: self.records.bin.purge(self.org.prefix_object(one) or "", one))

    def each(self, call: Element, act: Callable[[str], None]) -> str:
        rows = []
        for one in call:
            parsed = ids.parse(one.text)
            try:
                with self.org.state.transaction():
                    if parsed is None:
                        raise Invalid(Problem("MALFORMED_ID", f"malformed id {one.text}", ("Id",)))
                    act(parsed)
            except Invalid as invalid:
                rows.append(failed_problem(invalid.problems[0]))
            else:
                rows.append(f"<result><id>{parsed}</id><success>true</success></result>")
        return "".join(rows)
