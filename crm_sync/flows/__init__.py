"""Stages with I/O and a transaction: ingest, absorb, propagate, deliver, reconcile; and what people ask for: sync,
status, edit, explain.

Belongs here: the order of reading, deciding and writing, and where a transaction begins and ends.
Not here: decisions (steps/), SQL (store/), HTTP (connectors/), when to run (sensors/).
"""
