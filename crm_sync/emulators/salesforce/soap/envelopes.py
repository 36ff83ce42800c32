"""Read and write SOAP envelopes: calls, values, results, faults. Tags of answers are unprefixed, fields have sf:."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from crm_sync.emulators.salesforce.failures import Problem

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
NAMESPACES = {"u": "urn:partner.soap.sforce.com", "c": "urn:enterprise.soap.sforce.com"}
FAULTS = {"u": "urn:fault.partner.soap.sforce.com", "c": "urn:fault.enterprise.soap.sforce.com"}
OBJECTS = ' xmlns:sf="urn:sobject.partner.soap.sforce.com"'
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\+0000")
Answered = tuple[int, str]


def read(body: bytes) -> tuple[Element, dict[str, str]]:
    """Return the call of an envelope, and the texts in its headers by name. Raises ParseError, LookupError."""
    root = ET.fromstring(body)  # noqa: S314 - expat bounds entities; only loopback can reach us
    headers: dict[str, str] = {}
    calls: list[Element] = []
    for part in root:
        if local(part.tag) == "Header":
            headers |= {local(one.tag): (one.text or "").strip() for one in part.iter()}
        elif local(part.tag) == "Body":
            calls = list(part)
    return calls[0], headers


def local(tag: str) -> str:
    """Return a tag without its namespace."""
    return tag.rpartition("}")[2]


def text(parent: Element | None, name: str) -> str:
    """Return the text of a child, "" where there is none."""
    found: Any = next((one.text for one in (() if parent is None else parent) if local(one.tag) == name), None)
    return (found or "").strip()


def texts(parent: Element, name: str) -> list[str]:
    """Return the texts of all children of a name."""
    return [(one.text or "").strip() for one in parent if local(one.tag) == name]


def type_of(element: Element) -> str:
    """Return the xsi:type of an element, without its prefix."""
    return element.get(f"{{{XSI}}}type", "").rpartition(":")[2]


def shown(name: str, value: Any) -> str:
    """Return a JSON value as an element: a list as several, an object with its keys, null as nil."""
    if isinstance(value, list):
        return "".join(shown(name, one) for one in value)
    if value is None:
        return f'<{name} xsi:nil="true"/>'
    return f"<{name}>{inner(value)}</{name}>"


def inner(value: Any) -> str:
    """Return what stands between the tags of a value; keys of an object that are null are left out."""
    if isinstance(value, Mapping):
        return "".join(shown(name, one) for name, one in value.items() if one is not None)
    if isinstance(value, bool):
        return "true" if value else "false"
    found = str(value)
    return escape(found.replace("+0000", "Z") if MOMENT.fullmatch(found) else found)


def failed_row(problems: Iterable[Mapping[str, Any]]) -> str:
    """Return one failed result of several: its errors as a row of a collection has them."""
    errors = "".join(
        f"<errors>{shown('fields', list(one['fields']))}<message>{escape(one['message'])}</message>"
        f"<statusCode>{one['statusCode']}</statusCode></errors>"
        for one in problems
    )
    return f'<result>{errors}<id xsi:nil="true"/><success>false</success></result>'


def failed_problem(problem: Problem) -> str:
    """Return one failed result of several."""
    return failed_row([problem.row_form()])


def envelope(namespace: str, body: str, more: str = "") -> str:
    """Return an envelope around a body."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="{SOAP}" xmlns="{namespace}"'
        f' xmlns:xsi="{XSI}"{more}><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>'
    )


def fault(kind: str, code: str, exception: str, message: str) -> Answered:
    """Return a fault; clients read sf:exceptionCode and sf:exceptionMessage by their prefix."""
    told = f"{exception}: {message}" if exception else message
    detail = (
        f'<detail><sf:UnexpectedErrorFault xsi:type="sf:UnexpectedErrorFault"><sf:exceptionCode>{exception}'
        f"</sf:exceptionCode><sf:exceptionMessage>{escape(message)}</sf:exceptionMessage></sf:UnexpectedErrorFault></detail>"
    )
    body = (
        f"<soapenv:Fault><faultcode>{code}</faultcode><faultstring>{escape(told)}</faultstring>{detail}</soapenv:Fault>"
    )
    return 500, envelope(NAMESPACES[kind], body, f' xmlns:sf="{FAULTS[kind]}"')
