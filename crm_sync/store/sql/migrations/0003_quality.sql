-- What the checks at rest look at: columns derived when a golden record is written, and views of ids, states and counts.
-- Nothing here holds a field's value.

alter table hub_record add column refs jsonb, add column derived_by text;
comment on column hub_record.refs is 'reference field -> hub id, as in the document. Null: written before this column was, see derived_by.';
comment on column hub_record.derived_by is 'Under which rules facts, refs and missing_required were derived from the document; other rules, and they are derived anew.';

create table twin (
    entity        text not null,
    rule          text not null,
    hub_id        uuid not null references hub_record,
    other_hub_id  uuid not null references hub_record,
    found_at      timestamptz not null default now(),
    constraint one_twin_per_pair_and_rule primary key (hub_id, other_hub_id, rule),
    constraint twins_are_two check (hub_id <> other_hub_id)
);
create index twin_by_other on twin (other_hub_id);
create index twin_by_entity on twin (entity);
comment on table twin is 'Live golden records that share a match key, verified on their decrypted values; found by the last check, both ways round.';

create view quality_golden as
select h.hub_id, h.entity, h.missing_required, (select count(*) from twin t where t.hub_id = h.hub_id) as twins
from hub_record h
where h.united_into is null;
comment on view quality_golden is 'Live golden records: required fields that are empty, and others that are the same real thing.';

create view quality_reference as
select h.hub_id, h.entity, r.field, coalesce(t.united_into, r.target::uuid) as target_hub_id, t.entity as target_entity
from hub_record h
cross join lateral jsonb_each_text(h.refs) as r (field, target)
left join hub_record t on t.hub_id = r.target::uuid
where h.united_into is null;
comment on view quality_reference is 'Where the references of live golden records lead. target_entity is null where there is no such golden record.';

create view quality_crossing as
select r.hub_id, r.entity, r.field, r.target_hub_id, l.connection, l.record_id,
    case
        when exists (select from identity_link t where t.hub_id = r.target_hub_id and t.connection = l.connection
                     and t.entity = r.target_entity and t.is_primary and t.state = 'live') then 'there'
        when exists (select from identity_link t where t.hub_id = r.target_hub_id and t.connection = l.connection
                     and t.entity = r.target_entity) then 'gone'
        when exists (select from parked_out p where p.hub_id = r.hub_id and p.connection = l.connection and p.field = r.field)
            or exists (select from parked_in p where p.link_id = l.link_id and p.field = r.field) then 'parked'
        when exists (select from withheld w where w.hub_id = r.hub_id and w.connection = l.connection and w.field = r.field)
            then 'withheld'
        when exists (select from outbox o where o.hub_id in (r.hub_id, r.target_hub_id) and o.connection = l.connection)
            or exists (select from hub_change c where c.hub_id in (r.hub_id, r.target_hub_id)) then 'queued'
        when exists (select from review v where v.link_id = l.link_id and v.field = r.field and v.state = 'open') then 'in review'
        else 'unexplained'
    end as target
from quality_reference r
join identity_link l on l.hub_id = r.hub_id and l.entity = r.entity and l.is_primary and l.state = 'live'
where r.target_entity is not null;
comment on view quality_crossing is 'For each CRM that knows a golden record: whether it knows what that refers to, or why not (yet).';

create view quality_link as
select l.link_id, l.entity, l.connection, l.object, l.record_id, l.hub_id,
    case
        when h.hub_id is null then 'missing'
        when h.united_into is not null then 'united into another'
        when h.entity <> l.entity then 'of another entity'
        else 'live'
    end as golden_record,
    case
        when s.link_id is not null then 'present'
        when exists (select from inbox n where n.connection = l.connection and n.object = l.object
                     and n.record_id = l.record_id and n.taken_at is null) then 'awaited'
        else 'missing'
    end as shadow
from identity_link l
left join hub_record h on h.hub_id = l.hub_id
left join shadow s on s.link_id = l.link_id
where l.state = 'live';
comment on view quality_link is 'Live links: the golden record they lead to, and the shadow they must have (awaited: to be read again after golden records were united).';

create view quality_place as
select hub_id, entity, connection, object, count(*) as links, count(*) filter (where is_primary) as primaries
from identity_link
where state = 'live'
group by hub_id, entity, connection, object;
comment on view quality_place is 'Golden records in CRM objects: live links, and how many of them are primary.';

create view quality_source as
select r.connection, r.entity, r.object, r.record_id,
    (select string_agg(distinct (x ->> 'field') || ': ' || (x ->> 'code'), ', ') from jsonb_array_elements(q.reasons) x) as refused_for
from (
    -- Records that we made ourselves say nothing about the quality of a CRM's data.
    select connection, entity, object, record_id from identity_link where linked_by <> 'created' and state <> 'tombstone'
    union
    select connection, entity, object, record_id from quarantine
) r
left join quarantine q on q.connection = r.connection and q.object = r.object and q.record_id = r.record_id;
comment on view quality_source is 'Source records that people made: taken over, or refused and for which fields and codes.';

create view quality_belonging as
select b.entity, b.hub_id, b.belonging, case when h.hub_id is null then 'missing' else 'there' end as golden_record
from (
    select entity, hub_id, 'match key' as belonging from match_key
    union
    select entity, hub_id, 'queued change' from hub_change
    union
    select entity, hub_id, 'link' from identity_link
) b
left join hub_record h on h.hub_id = b.hub_id;
comment on view quality_belonging is 'What belongs to a golden record, and whether that is there: no foreign key holds it (see 0001).';
