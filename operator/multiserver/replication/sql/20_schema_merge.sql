-- Merge of schema changes: what a schema event does at a site that receives it.
--
-- The statements run as the owners of their objects, inside the remote transaction they were part of. A statement waits
-- a moment only for a lock, since everybody else queues up behind it: better that the link tries again.
--
-- Invariant: this site's schema version n means that it has all schema events up to n. Rows written under a greater
-- version wait (09_merge.sql); rows written under a smaller one are translated (11_translate.sql).
--
-- A schema event is on the disk before anything is confirmed to its sender, unlike rows: what a crash takes of rows is
-- found again by comparing (24_broken_history.sql), but a schema event comes only once.

create function multiserver.merge_schema(new_version bigint, change jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  present_version constant bigint := (select version from multiserver.schema_state);
  statement record;
begin
  if new_version <= present_version then
    return;
  elsif new_version > present_version + 1 then
    raise exception using errcode = 'MS001',
      message = format('schema event %s arrived before event %s: waiting', new_version, present_version + 1);
  end if;
  perform set_config('synchronous_commit', 'local', true);
  perform set_config('lock_timeout', '300ms', true), set_config('check_function_bodies', 'off', true);
  for statement in select * from jsonb_to_recordset(change -> 'statements') as s (role text, text text) loop
    perform set_config('role', statement.role, true);
    execute statement.text;
  end loop;
  perform set_config('role', 'none', true), set_config('lock_timeout', '0', true);
  perform multiserver.follow_schema(present_version, new_version, change);
end $$;

-- What a schema event means for the engine itself, at the schema site and at all others.
create function multiserver.follow_schema(present_version bigint, new_version bigint, change jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  t record;
begin
  update multiserver.schema_state set version = new_version where version in (present_version, new_version);
  for t in select value::integer as table_id from jsonb_array_elements_text(change -> 'dropped') loop
    perform multiserver.forget_table(t.table_id);
  end loop;
  for t in select * from jsonb_to_recordset(change -> 'tables')
             as x (table_id integer, name text, layout bigint, columns jsonb) loop
    perform multiserver.replicate_table(t.table_id, t.name, t.layout, t.columns);
  end loop;
  perform multiserver.assign_number_ranges();
end $$;
