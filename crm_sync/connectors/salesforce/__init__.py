"""The Salesforce connector, on simple-salesforce and REST API 59.0.

Belongs here: what every Salesforce org has in common (SOQL, collections, composite, error codes, 18-character ids).
Not here: which fields are synced (config/mappings/salesforce/), retries and budgets (connectors/transport.py).
"""
