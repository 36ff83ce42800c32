-- name: begin
-- Begin a connection's budget with a full bucket; does nothing where there is one.
INSERT INTO api_budget (connection, calls, refilled_at) VALUES (%(connection)s, %(calls)s, %(now)s)
ON CONFLICT (connection) DO NOTHING

-- name: lock
-- The budget of a connection, locked until the end of the transaction.
SELECT calls, refilled_at, paused_until, pause_reason, quota_limit, quota_remaining, observed_at
FROM api_budget WHERE connection = %(connection)s FOR UPDATE

-- name: spend
-- Write down what is left in the bucket.
UPDATE api_budget SET calls = %(calls)s, refilled_at = %(now)s WHERE connection = %(connection)s

-- name: pause
-- Pause a connection; never shorten a pause.
UPDATE api_budget SET paused_until = %(until)s, pause_reason = %(reason)s
WHERE connection = %(connection)s AND (paused_until IS NULL OR paused_until < %(until)s)

-- name: observe
-- Write down the quota as the CRM reports it.
UPDATE api_budget SET quota_limit = %(limit)s, quota_remaining = %(remaining)s, observed_at = %(now)s
WHERE connection = %(connection)s
