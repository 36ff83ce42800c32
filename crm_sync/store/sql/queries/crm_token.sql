-- name: get
-- The tokens of a connection.
SELECT access, refresh, expires_at FROM crm_token WHERE connection = %(connection)s

-- name: put
-- Keep the tokens of a connection.
INSERT INTO crm_token (connection, access, refresh, expires_at, changed_at)
VALUES (%(connection)s, %(access)s, %(refresh)s, %(expires_at)s, now())
ON CONFLICT (connection) DO UPDATE
SET access = excluded.access, refresh = excluded.refresh, expires_at = excluded.expires_at, changed_at = now()

-- name: forget_access
-- Drop an access token that was refused.
UPDATE crm_token SET access = NULL, expires_at = NULL, changed_at = now() WHERE connection = %(connection)s

-- name: forget_empty
-- Drop a connection that has no token left.
DELETE FROM crm_token WHERE connection = %(connection)s AND access IS NULL AND refresh IS NULL
