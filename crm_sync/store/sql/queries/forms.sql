-- name: find_form
-- The form with this digest.
select form_id, key_id, entity, connection, fields from form where digest = %(digest)s;

-- name: insert_form
-- Remember a form; another process may have been first.
insert into form (digest, key_id, entity, connection, fields)
values (%(digest)s, %(key_id)s, %(entity)s, %(connection)s, %(fields)s)
on conflict on constraint one_row_per_form do nothing;

-- name: load_form
-- A form by id.
select form_id, key_id, entity, connection, fields from form where form_id = %(form_id)s;
