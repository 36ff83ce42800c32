-- Under which rules a stream was last read completely: under others, the next read is a full one.

alter table watermark add column form_id integer references form, add column resume_form_id integer references form;
comment on column watermark.form_id is 'The form under which everything was last read. Another one now, or null: the next read is a full one.';
comment on column watermark.resume_form_id is 'The form under which the unfinished read began; it goes on under no other.';
