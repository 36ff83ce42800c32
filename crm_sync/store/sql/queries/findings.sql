-- name: begin_seen
-- Records as read: our external key in them, and whether they are ours to compare.
create temporary table seen_record (record_id text not null, hub_key uuid, compared boolean not null);

-- name: begin_suspects
-- Records to look at again, by round; unseen: the read of everything did not show them.
create temporary table suspect (round integer not null, record_id text not null, unseen boolean not null,
                                primary key (round, record_id));

-- name: begin_unlinked
-- Golden records without a record in the CRM object.
create temporary table unlinked (hub_id uuid primary key, command text, changed boolean not null);

-- name: begin_findings
-- What was found; field is empty where it is the whole record.
create temporary table finding (record_id text, hub_id uuid, finding text not null, field text not null);

-- name: copy_seen
-- Records as read.
copy seen_record (record_id, hub_key, compared) from stdin;

-- name: suspect
-- Records to look at again.
insert into suspect (round, record_id, unseen) select %(round)s, record_id, unseen
from unnest(%(record_ids)s::text[], %(unseen)s::boolean[]) as t (record_id, unseen)
on conflict do nothing;

-- name: analyze_seen
-- Let the planner know how many there are.
analyze seen_record;

-- name: suspect_unseen
-- Live links whose record was not shown.
insert into suspect (round, record_id, unseen)
select %(round)s, l.record_id, true from identity_link l
where l.connection = %(connection)s and l.object = %(object)s and l.entity = %(entity)s and l.state = 'live'
  and not exists (select 1 from seen_record s where s.record_id = l.record_id)
on conflict do nothing;

-- name: suspect_duplicates
-- Records that share an external key of ours.
insert into suspect (round, record_id, unseen)
select distinct %(round)s::integer, s.record_id, false from seen_record s
where s.hub_key in (select hub_key from seen_record where hub_key is not null group by 1 having count(distinct record_id) > 1)
on conflict do nothing;

-- name: take_suspects
-- Records of a round, some at a time.
delete from suspect where (round, record_id) in (
    select round, record_id from suspect where round = %(round)s order by record_id limit %(limit)s
) returning record_id, unseen;

-- name: forget_seen
-- What was read of records before they were read again.
delete from seen_record where record_id = any(%(record_ids)s);

-- name: copy_findings
-- What was found.
copy finding (record_id, hub_id, finding, field) from stdin;

-- name: find_same_keys
-- Records that share an external key of ours, as last read.
insert into finding (record_id, finding, field)
select distinct s.record_id, %(finding)s, '' from seen_record s
where s.hub_key in (select hub_key from seen_record where hub_key is not null group by 1 having count(distinct record_id) > 1);

-- name: find_two_primaries
-- Records that are all the live primary record of one golden record.
insert into finding (record_id, finding, field)
select l.record_id, %(finding)s, '' from identity_link l
where l.connection = %(connection)s and l.object = %(object)s and l.entity = %(entity)s and l.state = 'live' and l.is_primary
  and exists (
    select 1 from identity_link o where o.hub_id = l.hub_id and o.connection = l.connection and o.object = l.object
      and o.state = 'live' and o.is_primary and o.link_id <> l.link_id
);

-- name: list_unlinked
-- Golden records without any record in the CRM object, and what waits for them; those whose key was seen there are left out.
insert into unlinked (hub_id, command, changed)
select h.hub_id, o.state, c.hub_id is not null
from hub_record h
left join outbox o on o.hub_id = h.hub_id and o.connection = %(connection)s and o.object = %(object)s
left join hub_change c on c.hub_id = h.hub_id
where h.entity = %(entity)s and h.united_into is null
  and not exists (select 1 from identity_link l where l.hub_id = h.hub_id and l.connection = %(connection)s and l.object = %(object)s)
  and not exists (select 1 from seen_record s where s.hub_key = h.hub_id);

-- name: take_unlinked
-- Golden records without a record there, some at a time.
delete from unlinked where hub_id in (select hub_id from unlinked order by hub_id limit %(limit)s)
returning hub_id, command, changed;

-- name: count_seen
-- How many records were read, and how many compared.
select count(distinct record_id), count(distinct record_id) filter (where compared) from seen_record;

-- name: count_findings
-- Records by finding.
select finding, count(distinct coalesce(record_id, hub_id::text)) from finding group by 1;

-- name: count_records
-- Records with any of some findings.
select count(distinct coalesce(record_id, hub_id::text)) from finding where finding = any(%(findings)s);

-- name: count_fields
-- Records by finding and field.
select finding, field, count(distinct coalesce(record_id, hub_id::text)) from finding where field <> '' group by 1, 2;

-- name: examples
-- Some ids of every finding, the same ones each time.
select finding, id from (
    select finding, id, row_number() over (partition by finding order by id) as number
    from (select distinct finding, coalesce(record_id, hub_id::text) as id from finding) as each
) as numbered
where number <= %(most)s order by finding, number;
