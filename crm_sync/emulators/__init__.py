"""Pretend CRMs over TLS: Salesforce, HubSpot and Dynamics 365 with no account anywhere.

Belongs here: the record store, faults, tokens, limits, serving and the seeded population that the three share.
Not here: anything of the product (an emulator imports nothing of crm_sync outside this package); what only one CRM does
(salesforce/, hubspot/, dynamics/); code that reads CRMs (connectors/).
"""
