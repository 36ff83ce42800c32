-- name: load_watermark
-- The committed position of a stream, and the unfinished read if there is one.
select watermark, resume, resume_mode, resume_from, read_at, form_id, resume_form_id from watermark
where connection = %(connection)s and entity = %(entity)s;

-- name: save_progress
-- Remember how far an unfinished read has landed.
insert into watermark (connection, entity, resume, resume_mode, resume_from, resume_form_id)
values (%(connection)s, %(entity)s, %(resume)s, %(mode)s, %(resume_from)s, %(form_id)s)
on conflict on constraint one_watermark_per_stream
do update set resume = excluded.resume, resume_mode = excluded.resume_mode, resume_from = excluded.resume_from,
              resume_form_id = excluded.resume_form_id;

-- name: finish_read
-- The read is complete: the next one starts from this watermark (null keeps the old one). form_id: everything was read
-- under this form (null: only what had changed was).
insert into watermark (connection, entity, watermark, read_at, form_id)
values (%(connection)s, %(entity)s, %(watermark)s, now(), %(form_id)s)
on conflict on constraint one_watermark_per_stream
do update set watermark = coalesce(excluded.watermark, watermark.watermark), read_at = now(),
              form_id = coalesce(excluded.form_id, watermark.form_id),
              resume = null, resume_mode = null, resume_from = null, resume_form_id = null;

-- name: read_all_again
-- The next read of a stream is a full one; an unfinished read is not gone on with.
update watermark set form_id = null, resume = null, resume_mode = null, resume_from = null, resume_form_id = null
where connection = %(connection)s and entity = %(entity)s;

-- name: open_stream
-- A stream whose first read is absorbed is open for creates from now on.
update watermark w set opened_at = now()
where connection = %(connection)s and entity = %(entity)s and opened_at is null and watermark is not null
  and not exists (
      select 1 from landing_page p
      where p.connection = w.connection and p.entity = w.entity and p.absorbed_at is null
  )
returning opened_at;

-- name: streams_open
-- The connections in which records of an entity may be created.
select connection from watermark where entity = %(entity)s and opened_at is not null;
