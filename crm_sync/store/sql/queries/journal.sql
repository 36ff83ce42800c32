-- name: add_calls
-- Add counts of API calls to those of the run.
INSERT INTO api_call AS c (run_id, connection, operation, ok, calls)
SELECT %(run_id)s, * FROM unnest(%(connections)s::text[], %(operations)s::text[], %(oks)s::boolean[], %(calls)s::bigint[])
ON CONFLICT (run_id, connection, operation, ok) DO UPDATE SET calls = c.calls + excluded.calls

-- name: operation
-- Write down one operation.
INSERT INTO audit_operation (run_id, connection, operation, result, detail)
VALUES (%(run_id)s, %(connection)s, %(operation)s, %(result)s, %(detail)s)

-- name: calls_of_run
-- The API calls of a run.
SELECT connection, operation, ok, calls FROM api_call WHERE run_id = %(run_id)s ORDER BY 1, 2, 3
