"""Pure decisions on batches: what is in scope, valid, mapped, matched, merged, planned.

Belongs here: functions from arrays to arrays. Not here: I/O of any kind (flows/, store/, connectors/), rule files
(specs/).
"""
