"""The Dynamics 365 (Dataverse Web API v9.2) connector.

Belongs here: tokens through msal, OData reads with change tracking, $batch writes, metadata, the meaning of
Dataverse's errors.
Not here: retries and budgets (connectors/transport.py), field rules (config/mappings/dynamics/), deciding (steps/).
"""
