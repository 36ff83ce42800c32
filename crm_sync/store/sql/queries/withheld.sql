-- name: name_holders
-- Whose value it is where the CRM did not say: the record that shows it, as far as we know. One pass over the shadows of
-- the stream.
with nameless as (
    select distinct field, form_id from stage_withheld where holder is null and error_class = 'duplicate'
), shown as (
    select n.field, l.hub_id, l.record_id, cell_of(s.crm_vector, s.crm_known, array_position(f.fields, n.field)) as cell
    from nameless n join form f using (form_id)
    join identity_link l on l.connection = %(connection)s and l.object = %(object)s and l.state = 'live'
    join shadow s on s.link_id = l.link_id and s.form_id = n.form_id
)
update stage_withheld w set holder = s.record_id from shown s
where w.holder is null and w.error_class = 'duplicate' and s.field = w.field and s.cell = w.crm_hash
  and s.hub_id <> w.hub_id;

-- name: withhold
-- Values that a CRM refused; the rest of their records is sent without them. One that is refused again while the same is
-- known of its holder is not tried for 5 minutes, then for twice as long each time, up to a day.
insert into withheld as w (hub_id, connection, field, form_id, crm_hash, error_class, error_code, run_id, object, holder, sight)
select hub_id, connection, field, form_id, crm_hash, error_class, error_code, run_id, object, holder,
    sight_of(connection, object, holder, field, form_id)
from stage_withheld
on conflict on constraint one_withheld_value_per_cell do update
set form_id = excluded.form_id, crm_hash = excluded.crm_hash, error_class = excluded.error_class,
    error_code = excluded.error_code, withheld_at = now(), run_id = excluded.run_id, object = excluded.object,
    holder = excluded.holder, sight = excluded.sight,
    (tries, retry_at) = (
        select case when again then w.tries + 1 else 1 end,
            now() + case when again then least(interval '1 day', interval '5 minutes' * 2 ^ least(w.tries - 1, 10))
                    else interval '0' end
        from (select (w.form_id, w.crm_hash, w.holder, w.sight) is not distinct from
              (excluded.form_id, excluded.crm_hash, excluded.holder, excluded.sight) as again) t
    );

-- name: of_records
-- Values of golden records that a CRM refused, and whether it would refuse them again.
select w.hub_id, w.field, w.form_id, w.crm_hash, still_refused(w, %(form_id)s) from withheld w
where w.connection = %(connection)s and w.hub_id = any(%(hub_ids)s);

-- name: enqueue_due
-- Golden records whose values may not be refused any more, to plan anew; one without a record in the CRM is planned for
-- its own sake.
insert into hub_change (hub_id, entity)
select distinct w.hub_id, h.entity from withheld w join hub_record h using (hub_id)
join identity_link l on l.hub_id = w.hub_id and l.connection = w.connection and l.object = w.object
    and l.state = 'live' and l.is_primary
where w.connection = %(connection)s and h.entity = %(entity)s and w.error_class = 'duplicate'
  and not still_refused(w, %(form_id)s)
on conflict (hub_id) do nothing;

-- name: of_other_forms
-- Values of a stream that are named by other rules than those of now, with the key that names them.
select w.hub_id, w.field, w.crm_hash, f.key_id
from withheld w join hub_record h using (hub_id) join form f on f.form_id = w.form_id
where w.connection = %(connection)s and h.entity = %(entity)s and w.form_id <> %(form_id)s;

-- name: rename
-- Values under the name that they have by the rules of now.
update withheld w
set form_id = %(form_id)s, crm_hash = t.crm_hash, sight = case
    when w.sight = w.crm_hash then t.crm_hash
    else sight_of(w.connection, w.object, w.holder, w.field, %(form_id)s)
end
from unnest(%(hub_ids)s::uuid[], %(fields)s::text[], %(hashes)s::bigint[]) as t (hub_id, field, crm_hash)
where w.connection = %(connection)s and w.hub_id = t.hub_id and w.field = t.field;

-- name: waits
-- Which golden record waits for which other one to show something else in a field.
select w.field, w.hub_id, l.hub_id from withheld w join hub_record h using (hub_id)
join identity_link l on l.connection = w.connection and l.object = w.object and l.record_id = w.holder
    and l.state = 'live' and l.is_primary and l.hub_id <> w.hub_id
where w.connection = %(connection)s and h.entity = %(entity)s and w.error_class = 'duplicate'
  and w.form_id = %(form_id)s and sight_of(w.connection, w.object, w.holder, w.field, w.form_id) = w.crm_hash;

-- name: let_go
-- Cells whose value is not withheld any more.
delete from withheld w using unnest(%(hub_ids)s::uuid[], %(fields)s::text[]) as t (hub_id, field)
where w.connection = %(connection)s and w.hub_id = t.hub_id and w.field = t.field;

-- name: arrived
-- Values that the CRM took after all.
delete from withheld w
using unnest(%(hub_ids)s::uuid[], %(fields)s::text[], %(hashes)s::bigint[]) as t (hub_id, field, crm_hash)
where w.connection = %(connection)s and w.hub_id = t.hub_id and w.field = t.field and w.crm_hash = t.crm_hash;

-- name: forget
-- Values of golden records that were united into others.
delete from withheld where hub_id = any(%(hub_ids)s);

-- name: reasons
-- Why values are withheld.
select w.connection, h.entity, w.field, w.error_class, w.error_code, count(*)
from withheld w join hub_record h using (hub_id) group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5;
