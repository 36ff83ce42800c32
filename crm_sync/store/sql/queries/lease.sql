-- name: try_lock
-- Take an advisory lock of this session, if it is free.
SELECT pg_try_advisory_lock(%(number)s)

-- name: unlock
-- Give back an advisory lock of this session.
SELECT pg_advisory_unlock(%(number)s)

-- name: take
-- Write down who holds a lease now, with a token higher than all before.
INSERT INTO lease AS l (name, token, holder, taken_at) VALUES (%(name)s, 1, %(holder)s, now())
ON CONFLICT (name) DO UPDATE SET token = l.token + 1, holder = excluded.holder, taken_at = excluded.taken_at
RETURNING token

-- name: fence
-- The token in force, kept so until the end of the transaction.
SELECT token FROM lease WHERE name = %(name)s FOR SHARE

-- name: holder
-- Who holds a lease and since when.
SELECT holder, taken_at FROM lease WHERE name = %(name)s
