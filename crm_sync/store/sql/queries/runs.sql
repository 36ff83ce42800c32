-- name: start_run
-- A run begins.
insert into run (run_id, kind) values (%(run_id)s, %(kind)s) on conflict (run_id) do nothing;

-- name: end_run
-- A run ends.
update run set ended_at = now(), state = %(state)s, missed = missed || %(missed)s where run_id = %(run_id)s;

-- name: add_tally
-- Count rows that no other table holds.
insert into tally (run_id, connection, entity, term, rows)
select %(run_id)s, %(connection)s, %(entity)s, term, rows from unnest(%(terms)s::text[], %(rows)s::bigint[]) as t (term, rows)
on conflict on constraint one_tally_per_term do update set rows = tally.rows + excluded.rows;

-- name: tallies
-- The tallies of runs.
select connection, entity, term, sum(rows) from tally where run_id = any(%(run_ids)s) group by 1, 2, 3;

-- name: recent_runs
-- The newest runs.
select run_id, kind, started_at, ended_at, state, missed from run order by started_at desc limit %(limit)s;

-- name: calls
-- API calls of runs by connection.
select connection, operation, sum(calls) from api_call where run_id = any(%(run_ids)s) group by 1, 2;
