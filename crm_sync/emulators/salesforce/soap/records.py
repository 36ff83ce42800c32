"""Make the SOAP calls about records the REST calls that they are, and write their answers as XML.

Source: SOAP API guide, Core Calls and Describe Calls; what pyforce 1.9, beatbox and the Java WSC read. In partner form
a record is sf:type, sf:Id (nil where it was not selected) and the fields in the order of the question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element

from crm_sync.emulators.salesforce.failures import Answer, Call, Failure, Problem, Unsupported
from crm_sync.emulators.salesforce.schema import Org
from crm_sync.emulators.salesforce.soap.envelopes import failed_row, inner, local, shown, text, texts

Handle = Callable[[Call], Answer]
MOST = 200
Texts = Mapping[str, str]


class RecordCalls:
    """The calls about records and objects."""

    def __init__(self, org: Org, handle: Handle) -> None:
        self.org, self.handle = org, handle
        self.calls: dict[str, Callable[[Element, Texts, float], str]] = {
            "create": self.create,
            "update": self.update,
            "upsert": self.upsert,
            "delete": self.delete,
            "retrieve": self.retrieve,
            "query": self.query,
            "queryAll": self.query,
            "queryMore": self.query_more,
            "describeGlobal": self.describe_global,
            "describeSObject": self.describe,
            "describeSObjects": self.describe,
            "getUpdated": self.changed,
            "getDeleted": self.changed,
        }

    def ask(self, headers: Texts, version: float, method: str, path: str, body: Any = None, **query: str) -> Any:
        """Make a REST call and return its JSON. Raises Failure with the first of its problems."""
        given = {"sforce-query-options": f"batchSize={headers['batchSize']}"} if headers.get("batchSize") else {}
        given |= {"sforce-duplicate-rule-header": "allowSave=true"} if headers.get("allowSave") == "true" else {}
        answer = self.handle(Call(method, path, version, query, given, body))
        if answer.status >= 300:
            first = answer.body[0]
            raise Failure(answer.status, Problem(first["errorCode"], first["message"]))
        return answer.body

    # -- writing

    def create(self, call: Element, headers: Texts, version: float) -> str:
        return self.write(call, headers, version, "POST", "composite/sobjects")

    def update(self, call: Element, headers: Texts, version: float) -> str:
        return self.write(call, headers, version, "PATCH", "composite/sobjects")

    def upsert(self, call: Element, headers: Texts, version: float) -> str:
        kind = next((text(one, "type") for one in call if local(one.tag) == "sObjects"), "")
        key = text(call, "externalIDFieldName")
        return self.write(call, headers, version, "PATCH", f"composite/sobjects/{quote(kind)}/{quote(key)}")

    def write(self, call: Element, headers: Texts, version: float, method: str, path: str) -> str:
        rows = [self.row(one) for one in call if local(one.tag) == "sObjects"]
        at_most(rows)
        body = {"records": rows, "allOrNone": headers.get("allOrNone") == "true"}
        return results(self.ask(headers, version, method, path, body)) if rows else ""

    def row(self, element: Element) -> dict[str, Any]:
        """Read a record; an empty element is no value, fieldsToNull names what becomes null."""
        kind = text(element, "type")
        sobject = self.org.object(kind) or ""
        row: dict[str, Any] = {"attributes": {"type": kind}}
        for one in element:
            name = local(one.tag)
            if name == "fieldsToNull":
                row[(one.text or "").strip()] = None
            elif len(one):
                row[name] = self.row(one)
            elif name != "type" and one.text:
                field = self.org.field(sobject, name) if sobject else None
                boolean = field is not None and field.type == "boolean" and one.text in ("true", "false")
                row[name] = one.text == "true" if boolean else one.text
        return row

    def delete(self, call: Element, headers: Texts, version: float) -> str:
        wanted = [(one.text or "").strip() for one in call]  # clients name them ids, id or ID
        at_most(wanted)
        flag = headers.get("allOrNone", "false")
        query = {"ids": ",".join(wanted), "allOrNone": flag}
        return results(self.ask(headers, version, "DELETE", "composite/sobjects", **query)) if wanted else ""

    # -- reading

    def retrieve(self, call: Element, headers: Texts, version: float) -> str:
        body = {"ids": texts(call, "ids"), "fields": [one.strip() for one in text(call, "fieldList").split(",")]}
        at_most(body["ids"])
        rows = self.ask(headers, version, "POST", f"composite/sobjects/{quote(text(call, 'sObjectType'))}", body)
        return "".join(record("result", row) for row in rows)

    def query(self, call: Element, headers: Texts, version: float) -> str:
        found = self.ask(headers, version, "GET", local(call.tag), q=text(call, "queryString"))
        return query_result("result", found)

    def query_more(self, call: Element, headers: Texts, version: float) -> str:
        found = self.ask(headers, version, "GET", f"query/{quote(text(call, 'queryLocator'))}")
        return query_result("result", found)

    def changed(self, call: Element, headers: Texts, version: float) -> str:
        """Answer getUpdated and getDeleted."""
        kind = "updated" if local(call.tag) == "getUpdated" else "deleted"
        window = {"start": text(call, "startDate"), "end": text(call, "endDate")}
        path = f"sobjects/{quote(text(call, 'sObjectType'))}/{kind}"
        return shown("result", self.ask(headers, version, "GET", path, **window))

    # -- describing

    def describe_global(self, call: Element, headers: Texts, version: float) -> str:
        found = self.ask(headers, version, "GET", "sobjects")
        return shown("result", {**found, "sobjects": [described(one) for one in found["sobjects"]]})

    def describe(self, call: Element, headers: Texts, version: float) -> str:
        wanted = texts(call, "sObjectType")
        if len(wanted) > 100:
            raise Failure(500, Problem("EXCEEDED_MAX_TYPES_LIMIT", "At most 100 types can be described at once"))
        found = [self.ask(headers, version, "GET", f"sobjects/{quote(one)}/describe") for one in wanted]
        return shown("result", [described(one) for one in found])


def at_most(rows: list[Any]) -> None:
    """Refuse a call of more than 200 records. Raises Failure."""
    if len(rows) > MOST:
        text = f"The call has {len(rows)} records; expected at most {MOST}"
        raise Failure(500, Problem("EXCEEDED_ID_LIMIT", text))


def results(rows: list[dict[str, Any]]) -> str:
    """Return what became of each row."""
    out = []
    for row in rows:
        if not row["success"]:
            out.append(failed_row(row["errors"]))
            continue
        created = shown("created", row["created"]) if "created" in row else ""
        out.append(f"<result>{created}<id>{row['id']}</id><success>true</success></result>")
    return "".join(out)


def query_result(name: str, found: Mapping[str, Any]) -> str:
    """Return a page of a query, also that of a child subquery."""
    locator = str(found.get("nextRecordsUrl", "")).rpartition("/")[2] or None
    rows = "".join(record("records", row) for row in found["records"])
    return (
        f'<{name} xsi:type="QueryResult">{shown("done", found["done"])}{shown("queryLocator", locator)}{rows}'
        f"{shown('size', found['totalSize'])}</{name}>"
    )


def record(name: str, row: Mapping[str, Any] | None) -> str:
    """Return a record in partner form, parents and children nested."""
    if row is None:
        return f'<{name} xsi:nil="true"/>'
    fields = []
    for key, value in row.items():
        tag = f"sf:{key}"
        if key == "attributes":
            continue
        if isinstance(value, Mapping):
            if "records" in value:
                fields.append(query_result(tag, value))
            elif "attributes" in value:
                fields.append(record(tag, value))
            else:
                fields.append(f'<{tag} xsi:type="address">{inner(value)}</{tag}>')
        else:
            fields.append(shown(tag, value))
    head = f"<sf:type>{row['attributes']['type']}</sf:type>{shown('sf:Id', row.get('Id'))}"
    return f'<{name} xsi:type="sf:sObject">{head}{"".join(fields)}</{name}>'


def described(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the describe of an object as SOAP has it: addresses of pages instead of resources."""
    out = {name: one for name, one in found.items() if name != "urls"}
    page = f"/{found['keyPrefix']}"
    return {**out, "urlDetail": f"{page}/{{ID}}", "urlEdit": f"{page}/{{ID}}/e", "urlNew": f"{page}/e"}


def version_of(text: str) -> float:
    """Return the API version in an address. Raises Unsupported."""
    try:
        return float(text)
    except ValueError:
        raise Unsupported(f"the API version {text}") from None
