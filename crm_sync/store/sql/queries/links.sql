-- name: find_links
-- Links, with their shadows, of CRM records by id.
select l.link_id, l.hub_id, l.connection, l.object, l.record_id, l.is_primary, l.state,
       s.form_id, s.crm_vector, s.hub_vector, s.crm_known, s.hub_known, s.gate, s.version, s.stamp, s.base, s.wrote
from identity_link l left join shadow s using (link_id)
where l.connection = %(connection)s and l.object = %(object)s and l.record_id = any(%(record_ids)s);

-- name: links_by_hub
-- All links, with their shadows, of golden records.
select l.link_id, l.hub_id, l.connection, l.object, l.record_id, l.is_primary, l.state,
       s.form_id, s.crm_vector, s.hub_vector, s.crm_known, s.hub_known, s.gate, s.version, s.stamp, s.base, s.wrote
from identity_link l left join shadow s using (link_id)
where l.hub_id = any(%(hub_ids)s);

-- name: gates
-- What was last seen of CRM records: the gate and version of the shadow, or the gate of what is held.
select l.record_id, s.gate, s.version, s.stamp, l.state, s.wrote
from identity_link l join shadow s using (link_id)
where l.connection = %(connection)s and l.object = %(object)s and l.record_id = any(%(record_ids)s)
union all
select record_id, gate, null, stamp, 'held', false from quarantine
where connection = %(connection)s and object = %(object)s and record_id = any(%(record_ids)s)
union all
select record_id, gate, null, null, 'held', false from review
where connection = %(connection)s and object = %(object)s and record_id = any(%(record_ids)s)
  and state = 'open' and link_id is null and gate is not null;

-- name: resolve_records
-- The golden record of CRM records, tombstones included (a reference to a deleted record still says which).
select record_id, hub_id from identity_link
where connection = %(connection)s and object = %(object)s and record_id = any(%(record_ids)s);

-- name: resolve_hubs
-- The CRM record of golden records in one CRM object; a united one answers with that of its successor.
-- One by one: the planner, who takes tables that grow for small, would look through all links.
select h.hub_id, l.record_id
from unnest(%(hub_ids)s::uuid[]) as t (hub_id) join hub_record h using (hub_id) cross join lateral (
    select l.record_id from identity_link l
    where l.hub_id = coalesce(h.united_into, h.hub_id) and l.connection = %(connection)s and l.object = %(object)s
      and l.is_primary and l.state = 'live'
    limit 1
) l;

-- name: occupied
-- Which golden records already have any link in this CRM object.
select distinct hub_id from identity_link
where connection = %(connection)s and object = %(object)s and hub_id = any(%(hub_ids)s);

-- name: with_primary
-- Which golden records have a primary link in this CRM object (a deleted record's link is none).
select t.hub_id from unnest(%(hub_ids)s::uuid[]) as t (hub_id) cross join lateral (
    select from identity_link l
    where l.hub_id = t.hub_id and l.connection = %(connection)s and l.object = %(object)s and l.is_primary
    limit 1
) l;

-- name: revive
-- Records that are back: primary again, unless another took their place.
update identity_link l
set state = 'live', merged_into = null, is_primary = l.is_primary or not exists (
    select 1 from identity_link w
    where w.hub_id = l.hub_id and w.connection = l.connection and w.object = l.object and w.is_primary
)
where l.link_id = any(%(link_ids)s);

-- name: step_down
-- The link of a deleted record is no primary any more.
update identity_link set is_primary = false where link_id = any(%(link_ids)s) and is_primary returning hub_id;

-- name: promote
-- Where no primary is left, the oldest live link takes its place.
update identity_link set is_primary = true
where link_id in (
    select min(l.link_id) from identity_link l
    where l.hub_id = any(%(hub_ids)s) and l.connection = %(connection)s and l.object = %(object)s and l.state = 'live'
      and not exists (
          select 1 from identity_link w
          where w.hub_id = l.hub_id and w.connection = l.connection and w.object = l.object and w.is_primary
      )
    group by l.hub_id
)
returning link_id, hub_id, record_id;

-- name: next_link_ids
-- Ids for new links, which are copied in.
select nextval(pg_get_serial_sequence('identity_link', 'link_id')) from generate_series(1, %(count)s);

-- name: upsert_shadows
-- What the links remember.
insert into shadow (link_id, form_id, crm_vector, hub_vector, crm_known, hub_known, gate, version, stamp, base, wrote)
select link_id, form_id, crm_vector, hub_vector, crm_known, hub_known, gate, version, stamp, base, wrote from stage_shadow
on conflict (link_id) do update
set form_id = excluded.form_id, crm_vector = excluded.crm_vector, hub_vector = excluded.hub_vector,
    crm_known = excluded.crm_known, hub_known = excluded.hub_known, gate = excluded.gate, version = excluded.version,
    stamp = excluded.stamp, base = excluded.base, wrote = excluded.wrote;

-- name: touch
-- A newer version of records whose mapped fields did not change.
update shadow s set version = t.version, stamp = t.stamp
from unnest(%(record_ids)s::text[], %(versions)s::text[], %(stamps)s::timestamptz[]) as t (record_id, version, stamp),
     identity_link l
where l.connection = %(connection)s and l.object = %(object)s and l.record_id = t.record_id and s.link_id = l.link_id
  and (s.version is distinct from t.version) and (s.stamp is null or s.stamp <= t.stamp);

-- name: set_state
-- Move links to another state.
update identity_link l set state = t.state, merged_into = t.merged_into
from unnest(%(link_ids)s::bigint[], %(states)s::text[], %(merged)s::text[]) as t (link_id, state, merged_into)
where l.link_id = t.link_id;

-- name: move_links
-- The links of a united golden record go to its successor; where that has a primary link already they become further ones.
update identity_link l
set hub_id = %(winner)s,
    is_primary = l.is_primary and not exists (
        select 1 from identity_link w where w.hub_id = %(winner)s and w.connection = l.connection and w.object = l.object and w.is_primary
    )
where l.hub_id = %(loser)s
returning l.link_id, l.connection, l.object, l.record_id, l.state;

-- name: forget_shadows
-- Links that moved begin anew, as on their first link.
delete from shadow where link_id = any(%(link_ids)s);

-- name: set_gates
-- What was last seen of records that are not merged (deleted, out of scope).
update shadow s set gate = t.gate, version = t.version, stamp = t.stamp, wrote = false
from unnest(%(link_ids)s::bigint[], %(gates)s::bigint[], %(versions)s::text[], %(stamps)s::timestamptz[])
     as t (link_id, gate, version, stamp)
where s.link_id = t.link_id;

-- name: forget_gates
-- Records to merge again when they are next read, whatever they show.
update shadow set gate = 0 where link_id = any(%(link_ids)s);

-- name: forget_versions
-- The record changed behind our back: it must be read before the next write.
update shadow set version = null where link_id = any(%(link_ids)s);

-- name: links_by_id
-- Links, with their shadows, by id.
select l.link_id, l.hub_id, l.connection, l.object, l.record_id, l.is_primary, l.state,
       s.form_id, s.crm_vector, s.hub_vector, s.crm_known, s.hub_known, s.gate, s.version, s.stamp, s.base, s.wrote
from identity_link l left join shadow s using (link_id)
where l.link_id = any(%(link_ids)s);

-- name: count_links
-- Links by connection, entity and state.
select connection, entity, state, count(*) from identity_link group by 1, 2, 3;
