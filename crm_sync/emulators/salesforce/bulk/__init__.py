"""Bulk jobs of both APIs: 2.0 (jobs/query, jobs/ingest) and 1.0 (/services/async).

Belongs here: jobs and their states, CSV in and out, the worker. Not here: what a row means (values, records one room
above), SOQL (soql/), where results are kept (parts).
"""
