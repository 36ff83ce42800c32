"""Give a neutral sighting the field names and forms of the CRM that holds it.

Belongs here: what a record of the population looks like in the store of each CRM. Not here: which records there are
(seeding.py), what a CRM makes of a field (salesforce/, hubspot/, dynamics/).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in ("", None)}


def _digits(value: float | None) -> str | None:
    """Write a number as the text that HubSpot keeps."""
    if value is None:
        return None
    text = f"{value:.2f}"
    return text.rstrip("0").rstrip(".")


def _salesforce_account(v: Mapping[str, Any]) -> dict[str, Any]:
    return _filled(
        {
            "Name": v["name"], "Website": v["website"], "Crm_Sync_Email__c": v["email"], "Phone": v["phone"],
            "Fax": v["fax"], "BillingStreet": v["street"], "BillingCity": v["city"], "BillingState": v["state"],
            "BillingPostalCode": v["postal_code"], "BillingCountry": v["country"], "Industry": v["industry"],
            "Type": v["type"], "NumberOfEmployees": v["employees"], "AnnualRevenue": v["revenue"],
            "Crm_Sync_Customer_Since__c": v["customer_since"], "Description": v["description"],
        }
    )  # fmt: skip


def _salesforce_contact(v: Mapping[str, Any], account: str | None) -> dict[str, Any]:
    salutation = v["salutation"] if v["salutation"] != "Eng." else ""
    return _filled(
        {
            "FirstName": v["first"], "LastName": v["last"], "Salutation": salutation, "Email": v["email"],
            "Crm_Sync_Second_Email__c": v["second_email"], "Phone": v["phone"], "MobilePhone": v["mobile"],
            "HomePhone": v["home_phone"], "Fax": v["fax"], "Title": v["title"], "MailingStreet": v["street"],
            "MailingCity": v["city"], "MailingState": v["state"], "MailingPostalCode": v["postal_code"],
            "MailingCountry": v["country"], "Birthdate": v["birth"], "HasOptedOutOfEmail": v["opt_out"],
            "DoNotCall": v["no_calls"], "Description": v["notes"], "AccountId": account,
        }
    )  # fmt: skip


def _hubspot_company(v: Mapping[str, Any]) -> dict[str, Any]:
    return _filled(
        {
            "name": v["name"], "domain": v["host"], "website": v["website"], "crm_sync_email": v["email"],
            "phone": v["phone"], "address": v["street"], "city": v["city"], "state": v["state"],
            "zip": v["postal_code"], "country": v["country"], "industry": v["industry"], "type": v["type"],
            "numberofemployees": _digits(v["employees"]), "annualrevenue": _digits(v["revenue"]),
            "crm_sync_customer_since": v["customer_since"], "description": v["description"],
        }
    )  # fmt: skip


def _hubspot_contact(v: Mapping[str, Any], account: str | None) -> dict[str, Any]:
    """Shape a contact; its company is an association. Whoever never opted out has no value there."""
    return _filled(
        {
            "firstname": v["first"], "lastname": v["last"], "salutation": v["salutation"], "email": v["email"],
            "crm_sync_second_email": v["second_email"], "phone": v["phone"], "mobilephone": v["mobile"],
            "fax": v["fax"], "jobtitle": v["title"], "address": v["street"], "city": v["city"], "state": v["state"],
            "zip": v["postal_code"], "country": v["country"], "date_of_birth": v["birth"], "message": v["notes"],
            "crm_sync_email_opt_out": "true" if v["opt_out"] else "",
            "crm_sync_do_not_call": "true" if v["no_calls"] else "",
        }
    )  # fmt: skip


def _dynamics_account(v: Mapping[str, Any]) -> dict[str, Any]:
    return _filled(
        {
            "name": v["name"], "websiteurl": v["website"], "emailaddress1": v["email"], "telephone1": v["phone"],
            "fax": v["fax"], "address1_line1": v["street"], "address1_city": v["city"],
            "address1_stateorprovince": v["state"], "address1_postalcode": v["postal_code"],
            "address1_country": v["country"], "industrycode": v["industry"], "customertypecode": v["type"],
            "numberofemployees": v["employees"], "revenue": v["revenue"],
            "crmsync_customersince": v["customer_since"], "description": v["description"],
        }
    )  # fmt: skip


def _dynamics_contact(v: Mapping[str, Any], account: str | None) -> dict[str, Any]:
    return _filled(
        {
            "firstname": v["first"], "lastname": v["last"], "salutation": v["salutation"], "emailaddress1": v["email"],
            "emailaddress2": v["second_email"], "telephone1": v["phone"], "telephone2": v["home_phone"],
            "mobilephone": v["mobile"], "fax": v["fax"], "jobtitle": v["title"], "address1_line1": v["street"],
            "address1_city": v["city"], "address1_stateorprovince": v["state"],
            "address1_postalcode": v["postal_code"], "address1_country": v["country"], "birthdate": v["birth"],
            "donotbulkemail": v["opt_out"], "donotphone": v["no_calls"], "description": v["notes"],
            "parentcustomerid": account,
        }
    )  # fmt: skip


Shape = tuple[Callable[[Mapping[str, Any]], dict[str, Any]], Callable[[Mapping[str, Any], str | None], dict[str, Any]]]
SHAPES: dict[str, Shape] = {
    "salesforce": (_salesforce_account, _salesforce_contact),
    "hubspot": (_hubspot_company, _hubspot_contact),
    "dynamics": (_dynamics_account, _dynamics_contact),
}
