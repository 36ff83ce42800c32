-- name: put
-- Notices: something changed, or must be read again.
insert into inbox (connection, object, record_id, kind)
select distinct connection, object, record_id, %(kind)s
from unnest(%(connections)s::text[], %(objects)s::text[], %(record_ids)s::text[]) as t (connection, object, record_id);

-- name: take
-- Notices of one CRM object, oldest first; they leave the inbox with this transaction.
delete from inbox where notice_id in (
    select notice_id from inbox where connection = %(connection)s and object = %(object)s
    order by notice_id limit %(limit)s for update skip locked
) returning record_id;

-- name: waiting
-- Which CRM objects have notices.
select connection, object, count(*) from inbox group by 1, 2;
