"""HubSpot over its CRM v3 objects API, v4 associations and OAuth v1, on hubspot-api-client.

Belongs here: all that is true of every HubSpot account: calls, paging, batches, associations, error bodies.
Not here: which properties are synced (config/mappings/hubspot), retries and budgets (transport.py), what to do about an
outcome (flows/deliver).
"""
