-- name: column_types
-- The columns of one of our tables, with their types.
select attname, format_type(atttypid, null)
from pg_attribute where attrelid = %(table)s::regclass and attnum > 0 and not attisdropped;
