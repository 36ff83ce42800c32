"""The store: the only room that speaks SQL.

Belongs here: the embedded server, connections, migrations, keys, locks, and one module per table with its SQL in
sql/.
Not here: decisions on records (steps/), the order of stages (flows/), HTTP (connectors/, web/).
"""
