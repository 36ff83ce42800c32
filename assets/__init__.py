"""WHAT Dagster materialises: one asset family per stage, their checks, and the jobs over them.

Belongs here: bodies of three lines that call one flow and report its counts; keys, groups, partitions, dependencies.
Not here: how a stage works (crm_sync/flows), with what it works (resources/), when it runs (sensors/).
"""
