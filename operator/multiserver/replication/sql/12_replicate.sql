-- Make a table replicated, or follow a change of its columns, indexes or triggers.

-- Write the register, the capture functions and the merge function of a table as it is now.
create function multiserver.generate(p_table_id integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  variables constant jsonb := multiserver.template_variables(p_table_id);
begin
  perform multiserver.refuse_other_key(p_table_id);
  if (variables ->> 'key_count')::integer = 0 then
    perform multiserver.create_append(variables);
    if multiserver.has_peers() then
      perform multiserver.create_append_triggers(variables);
    end if;
  else
    perform multiserver.drop_append(variables);
    perform multiserver.create_register(variables);
    perform multiserver.adapt_register(p_table_id);
    perform multiserver.create_capture(p_table_id);
    perform multiserver.create_merge(p_table_id);
    if multiserver.has_peers() then
      perform multiserver.create_capture_triggers(variables);
    end if;
  end if;
  perform multiserver.create_merge_rows();
end $$;

create function multiserver.generate_all() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform multiserver.generate(table_id) from multiserver.tables where relation is not null;
end $$;

-- The columns of a table as a layout. At the schema site a column's number is its attribute number there.
create function multiserver.describe_layout(relation oid) returns jsonb language sql stable
  return (select jsonb_build_object(
      'column_ids', jsonb_agg(attnum order by attnum), 'column_names', jsonb_agg(attname order by attnum),
      'missing_values', jsonb_agg((attmissingval::text::text[])[1] order by attnum))
    from pg_attribute where attrelid = relation and attnum > 0 and not attisdropped);

-- Begin to replicate the table, or take over its new name and layout, both as the schema site gave them.
create function multiserver.replicate_table(p_table_id integer, p_name text, p_layout bigint, p_columns jsonb)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  is_new constant boolean := not exists (select from multiserver.tables where table_id = p_table_id);
begin
  insert into multiserver.tables (table_id, name, relation, layout)
    values (p_table_id, p_name, p_name::regclass, p_layout)
    on conflict (table_id) do update set name = excluded.name, layout = excluded.layout;
  insert into multiserver.layouts (table_id, layout, column_ids, column_names, missing_values)
    select p_table_id, p_layout, column_ids, column_names, missing_values
    from jsonb_to_record(p_columns) as c (column_ids integer[], column_names text[], missing_values text[])
    on conflict (table_id, layout) do nothing;
  perform multiserver.ensure_fields_type(jsonb_array_length(p_columns -> 'column_ids'));
  perform multiserver.generate(p_table_id);
  if is_new then
    perform multiserver.refuse_if_rows_may_be_hidden(p_name::regclass);
    execute format('update multiserver.tables set unsent_rows = exists (select from only %s)
                    where table_id = $1', p_name)
      using p_table_id;
  end if;
end $$;

-- Send all rows of a table as if they were written now; without peers there is nobody to send them to.
create function multiserver.send_rows(p_table_id integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if multiserver.has_peers() then
    execute format('select multiserver.send_rows_%s()', p_table_id);
  end if;
  update multiserver.tables set unsent_rows = false where table_id = p_table_id;
end $$;

-- Forget a table that was dropped or has become local, all but its number.
create function multiserver.forget_table(p_table_id integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  relation_oid constant oid := (select relation from multiserver.tables where table_id = p_table_id);
  routine regprocedure;
begin
  if relation_oid is not null then
    perform multiserver.drop_triggers(relation_oid);
  end if;
  update multiserver.tables set relation = null, unsent_rows = false where table_id = p_table_id;
  delete from multiserver.parked where table_id = p_table_id;
  delete from multiserver.appended where table_id = p_table_id;
  execute format('drop table if exists multiserver.register_%s', p_table_id);
  for routine in select oid::regprocedure from pg_proc
                 where pronamespace = 'multiserver'::regnamespace and proname ~ format('_%s$', p_table_id) loop
    execute format('drop function %s', routine);
  end loop;
  perform multiserver.create_merge_rows();
end $$;
