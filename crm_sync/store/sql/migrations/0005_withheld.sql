-- For whom a value waits that a CRM refused because another record has it, and when it is tried again.

alter table withheld add column object text, add column holder text, add column sight bigint,
    add column tries integer not null default 1, add column retry_at timestamptz not null default now();
comment on column withheld.holder is 'The record of the CRM that has the value, as the CRM or a shadow named it; null where nobody knows.';
comment on column withheld.sight is 'What was known of the holder when the value was refused last: see sight_of.';
comment on column withheld.tries is 'How often the value was refused while the same was known of its holder; retry_at: not tried before that again, unless something else is known.';
create index withheld_by_connection on withheld (connection, error_class);

create function cell_of(vector bytea, known bytea, place integer) returns bigint immutable strict
return case when get_bit(known, (place - 1) / 8 * 8 + 7 - (place - 1) % 8) = 1 then
    get_byte(vector, 8 * place - 8)::bigint | (get_byte(vector, 8 * place - 7)::bigint << 8)
    | (get_byte(vector, 8 * place - 6)::bigint << 16) | (get_byte(vector, 8 * place - 5)::bigint << 24)
    | (get_byte(vector, 8 * place - 4)::bigint << 32) | (get_byte(vector, 8 * place - 3)::bigint << 40)
    | (get_byte(vector, 8 * place - 2)::bigint << 48) | (get_byte(vector, 8 * place - 1)::bigint << 56)
end;
comment on function cell_of is 'The hash in a place, from 1, of a vector; null where it is not known.';

create function sight_of(connection text, object text, record_id text, field text, form_id integer) returns bigint
stable language sql as $$
    select coalesce(
        (select q.gate from quarantine q where q.connection = $1 and q.object = $2 and q.record_id = $3),
        (select r.gate from review r
         where r.connection = $1 and r.object = $2 and r.record_id = $3 and r.state = 'open' and r.link_id is null),
        (select r.crm_hash from identity_link l join review r on r.link_id = l.link_id
         where l.connection = $1 and l.object = $2 and l.record_id = $3 and r.state = 'open' and r.field = $4),
        (select case
             when l.state = 'out_of_scope' then s.gate
             when l.state = 'live' and s.form_id = $5
                 then cell_of(s.crm_vector, s.crm_known, array_position(f.fields, $4))
         end
         from identity_link l join shadow s using (link_id) join form f on f.form_id = $5
         where l.connection = $1 and l.object = $2 and l.record_id = $3)
    )
$$;
comment on function sight_of is 'What is known of a field of a CRM''s record: the hash that it shows there, or the gate of a record that is held or out of scope; null where nothing is known, as of a record that is gone.';

create function still_refused(w withheld, form_id integer) returns boolean stable language sql as $$
    select w.form_id = $2 and (w.error_class <> 'duplicate' or seen.sight is not distinct from w.crm_hash
        or (seen.sight is not distinct from w.sight and w.retry_at > now()))
    from (select sight_of(w.connection, w.object, w.holder, w.field, w.form_id) as sight) seen
$$;
comment on function still_refused is 'Whether a withheld value, seen under a form, would be refused again as far as we know.';
