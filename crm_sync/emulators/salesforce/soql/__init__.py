"""SOQL as text and as a tree: tokens, grammar, date literals.

Belongs here: reading a query. Not here: what it means over the records (compiling, aggregating), how its rows look
(rendering), pages and cursors (querying): all one room above.
"""
