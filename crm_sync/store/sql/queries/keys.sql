-- name: master
-- Which master key is in force, and its predecessor during a rotation.
SELECT fingerprint, predecessor_fingerprint, predecessor_wrapped FROM master_key

-- name: first_master
-- Take the first master key into force; does nothing where there is one.
INSERT INTO master_key (fingerprint) VALUES (%(fingerprint)s) ON CONFLICT DO NOTHING

-- name: hold_master
-- Make sure that our master key stays in force until the end of the transaction: no key may be wrapped under a former one.
SELECT 1 FROM master_key WHERE fingerprint = %(fingerprint)s FOR SHARE

-- name: replace_master
-- Begin a rotation.
UPDATE master_key
SET fingerprint = %(fingerprint)s, predecessor_fingerprint = %(former)s, predecessor_wrapped = %(wrapped)s,
    changed_at = now()
WHERE fingerprint = %(former)s AND predecessor_fingerprint IS NULL

-- name: end_rotation
-- Forget the predecessor, once no key is wrapped under it any more.
UPDATE master_key SET predecessor_fingerprint = NULL, predecessor_wrapped = NULL
WHERE fingerprint = %(fingerprint)s
  AND NOT EXISTS (SELECT 1 FROM data_key WHERE master_fingerprint <> %(fingerprint)s)
  AND NOT EXISTS (SELECT 1 FROM subject_key WHERE master_fingerprint <> %(fingerprint)s)

-- name: data_keys
-- The keys with these ids.
SELECT key_id, purpose, label, wrapped, master_fingerprint FROM data_key WHERE key_id = ANY(%(key_ids)s)

-- name: data_key_of
-- The key of a purpose and label.
SELECT key_id, purpose, label, wrapped, master_fingerprint FROM data_key
WHERE purpose = %(purpose)s AND label = %(label)s

-- name: newest_data_key
-- The newest key of a purpose.
SELECT key_id, purpose, label, wrapped, master_fingerprint FROM data_key
WHERE purpose = %(purpose)s ORDER BY key_id DESC LIMIT 1

-- name: new_data_key
-- Keep a new key; does nothing where another process was faster.
INSERT INTO data_key (purpose, label, wrapped, master_fingerprint)
VALUES (%(purpose)s, %(label)s, %(wrapped)s, %(fingerprint)s) ON CONFLICT (purpose, label) DO NOTHING

-- name: data_keys_to_rewrap
-- The next keys under a former master.
SELECT key_id, wrapped, master_fingerprint, purpose, label FROM data_key
WHERE key_id > %(after)s AND master_fingerprint <> %(fingerprint)s ORDER BY key_id LIMIT %(limit)s FOR UPDATE

-- name: rewrap_data_keys
-- Keep keys under the new master.
UPDATE data_key SET wrapped = fresh.wrapped, master_fingerprint = %(fingerprint)s
FROM unnest(%(ids)s::bigint[], %(wrapped)s::bytea[]) AS fresh (key_id, wrapped)
WHERE data_key.key_id = fresh.key_id

-- name: destroy_day_keys
-- Destroy the day keys before a day: what they encrypted can never be read again.
DELETE FROM data_key WHERE purpose = 'day' AND label < %(before)s

-- name: subject_keys
-- The keys of golden records.
SELECT hub_id, wrapped, master_fingerprint FROM subject_key WHERE hub_id = ANY(%(hub_ids)s)

-- name: subject_keys_to_rewrap
-- The next keys of golden records under a former master.
SELECT hub_id, wrapped, master_fingerprint FROM subject_key
WHERE hub_id > %(after)s AND master_fingerprint <> %(fingerprint)s ORDER BY hub_id LIMIT %(limit)s FOR UPDATE

-- name: rewrap_subject_keys
-- Keep the keys of golden records under the new master.
UPDATE subject_key SET wrapped = fresh.wrapped, master_fingerprint = %(fingerprint)s
FROM unnest(%(ids)s::uuid[], %(wrapped)s::bytea[]) AS fresh (hub_id, wrapped)
WHERE subject_key.hub_id = fresh.hub_id

-- name: destroy_subject_keys
-- Destroy the keys of erased golden records: what they encrypted can never be read again.
DELETE FROM subject_key WHERE hub_id = ANY(%(hub_ids)s)
