-- name: land_page
-- Land a page of changed records; the same page twice is one while it waits to be absorbed.
insert into landing_page (run_id, connection, entity, object, reason, records, digest, body)
values (%(run_id)s, %(connection)s, %(entity)s, %(object)s, %(reason)s, %(records)s, %(digest)s, %(body)s)
on conflict (connection, entity, digest) where absorbed_at is null do nothing
returning page_id;

-- name: waiting_pages
-- The oldest landed pages of an entity that nobody absorbs right now.
select page_id, run_id, connection, records
from landing_page
where entity = %(entity)s and connection = any(%(connections)s) and absorbed_at is null
order by page_id
limit %(limit)s
for update skip locked;

-- name: load_pages
-- Landed pages by id.
select page_id, run_id, connection, entity, object, reason, records, body
from landing_page where page_id = any(%(page_ids)s) order by page_id;

-- name: pages_absorbed
-- Mark pages as absorbed.
update landing_page set absorbed_at = now() where page_id = any(%(page_ids)s);

-- name: count_to_absorb
-- How many landed records of a stream wait.
select coalesce(sum(records), 0) from landing_page
where connection = %(connection)s and entity = %(entity)s and absorbed_at is null;

-- name: prune_pages
-- Forget pages absorbed long ago; their digest goes with them, the gate keeps unchanged records out.
delete from landing_page where absorbed_at < now() - make_interval(days => %(days)s);
