-- Capture of schema changes, at the one site where the schema may be changed.
--
-- After every statement that changes the schema, event triggers (60_schema_triggers.sql) ask for the objects that it
-- touched; their difference becomes ONE journal event at this point of the transaction, so rows before and after it keep
-- their order. Every schema event has the number after its predecessor's; the row in schema_state, locked until commit,
-- lets one transaction change the schema at a time.

-- The object that a catalogue entry belongs to, as in multiserver.parts.
create function multiserver.belongs_to(class oid, object oid) returns oid language sql stable
  return case class
    when 'pg_class'::regclass then coalesce(
      (select indrelid from pg_index where indexrelid = object),
      (select refobjid from pg_depend where classid = 'pg_class'::regclass and objid = object and deptype = 'i'
         and refclassid = 'pg_class'::regclass and refobjsubid > 0),
      object)
    when 'pg_trigger'::regclass then (select tgrelid from pg_trigger where oid = object)
    when 'pg_constraint'::regclass then (select conrelid from pg_constraint where oid = object)
    when 'pg_attrdef'::regclass then (select adrelid from pg_attrdef where oid = object)
    when 'pg_rewrite'::regclass then (select ev_class from pg_rewrite where oid = object)
    when 'pg_policy'::regclass then (select polrelid from pg_policy where oid = object)
    else object end;

-- Is it the application's, and more than temporary? Relations in temporary schemas and this engine's own are not.
create function multiserver.is_application_object(class oid, object oid) returns boolean language sql stable
  return case class
    when 'pg_class'::regclass then (select relpersistence <> 't' and multiserver.is_application_schema(relnamespace)
                                    from pg_class where oid = object)
    when 'pg_namespace'::regclass then multiserver.is_application_schema(object)
    else true end;

-- Kinds of objects that each site has for itself.
create function multiserver.belongs_to_one_site(object_type text) returns boolean language sql immutable
  return object_type in ('publication', 'publication relation', 'publication namespace', 'subscription',
                         'event trigger');

-- Objects that the running statement has made or altered. Those that belong to one site by nature are left out.
create function multiserver.touched_objects() returns oid[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  command record;
  touched_object oid;
  touched oid[] := '{}';
begin
  for command in
    select * from pg_event_trigger_ddl_commands() c
    where not c.in_extension and coalesce(c.schema_name, '') !~ '^(pg_temp|pg_toast|multiserver$)'
      and not multiserver.belongs_to_one_site(c.object_type)
      and c.command_tag not in ('REINDEX', 'REFRESH MATERIALIZED VIEW')
  loop
    touched_object := multiserver.belongs_to(command.classid, command.objid);
    if touched_object is null then
      perform multiserver.refuse(command.command_tag);
    elsif command.classid in ('pg_class'::regclass, 'pg_trigger'::regclass, 'pg_constraint'::regclass,
                              'pg_attrdef'::regclass, 'pg_rewrite'::regclass, 'pg_policy'::regclass) then
      continue when not multiserver.is_application_object('pg_class'::regclass, touched_object);
    else
      continue when not multiserver.is_application_object(command.classid, touched_object);
    end if;
    if multiserver.schema_site() = multiserver.server_number()
       and not exists (select from multiserver.parts where belongs_to = touched_object)
       and not (command.classid = 'pg_namespace'::regclass and touched_object = 'public'::regnamespace) then
      perform multiserver.refuse(format('%s %s', command.command_tag, command.object_identity));
    end if;
    touched := touched || touched_object;
  end loop;
  return touched;
end $$;

-- Objects that the running statement has dropped, or dropped something of. A trigger's table is found by its name: it may
-- be one of the engine's, which comes back when its table is replicated anew.
create function multiserver.dropped_objects() returns oid[] language sql stable
begin atomic
  select coalesce(array_agg(distinct coalesce(k.belongs_to, of_table.oid, d.objid)), '{}')
  from pg_event_trigger_dropped_objects() d
  left join multiserver.known_parts k on (k.class, k.object) = (d.classid, d.objid)
    and (k.column_number = d.objsubid or d.objsubid = 0)
  left join pg_class of_table on d.classid in ('pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_rewrite'::regclass)
    and of_table.oid = to_regclass(quote_ident(d.address_names[1]) || '.' || quote_ident(d.address_names[2]))
  where not d.is_temporary and (k.object is not null or d.original)
    and coalesce(d.schema_name, d.address_names[1]) !~ '^(pg_|multiserver$)'
    and not multiserver.belongs_to_one_site(d.object_type);
end;

-- Called by the event triggers as whoever changes the schema; it takes no arguments, so there is nothing to forge.
create function multiserver.capture_schema_change() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  touched oid[];
begin
  begin
    touched := multiserver.dropped_objects();
  exception when event_trigger_protocol_violated then
    perform multiserver.capture_refresh();
    touched := multiserver.touched_objects();
  end;
  if cardinality(touched) = 0 or multiserver.server_number() is null then
    return;
  elsif multiserver.server_number() <> multiserver.schema_site() then
    raise exception using errcode = 'MS003',
      message = format('the schema is changed at site %s; this is site %s',
        multiserver.site_name(multiserver.schema_site()), multiserver.site_name(multiserver.server_number())),
      hint = format('Run it at site %s; it reaches all other sites by itself.',
        multiserver.site_name(multiserver.schema_site()));
  end if;
  perform multiserver.record_schema_change(touched);
end $$;
grant execute on function multiserver.capture_schema_change() to public;

-- Write the event for the objects given, if it says anything, and replicate their tables from here on. What a statement
-- has touched is described anew, even if it looks the same.
create function multiserver.record_schema_change(touched oid[], by_statement boolean default true) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  new_version bigint;
  named oid[];
  retyped oid[];
  keyed oid[];
  change jsonb;
  t record;
begin
  update multiserver.schema_state set version = version + 1 returning version into new_version;
  named := multiserver.follow_renamed(touched);
  touched := multiserver.relatives(named);
  keyed := array(select x.relation from multiserver.tables x where x.relation = any (touched)
    and to_regclass(format('multiserver.register_%s', x.table_id)) is null
    and not multiserver.is_without_key(x.relation));
  retyped := array(select distinct k.belongs_to from multiserver.known_parts k
    join multiserver.parts p on (p.class, p.object, p.column_number) = (k.class, k.object, k.column_number)
    where k.kind = 'column' and k.belongs_to = any (touched) and k.facts ->> 'type_id' <> p.facts ->> 'type_id');
  change := jsonb_build_object(
    'statements', multiserver.schema_statements(touched),
    'tables', multiserver.tables_to_replicate(touched, case when by_statement then named else '{}' end, new_version),
    'dropped', (select coalesce(jsonb_agg(table_id order by table_id), '[]') from multiserver.tables x
                where relation is not null and (multiserver.is_local(relation)
                  or relation = any (touched) and multiserver.may_be_given_up(relation)
                     and multiserver.reason_not_replicated(relation) is not null
                  or not exists (select from pg_class c where c.oid = x.relation))));
  if change = '{"statements": [], "tables": [], "dropped": []}' then
    update multiserver.schema_state set version = version - 1;
    perform multiserver.assign_number_ranges();  -- MINVALUE and MAXVALUE are each site's own, so they are no change
    return;
  end if;
  perform multiserver.follow_schema(new_version - 1, new_version, change);
  perform multiserver.refuse_ranges_beyond_columns();
  insert into multiserver.journal (version, table_id, layout, kind, content)
    values (multiserver.version_at(multiserver.wall_clock(), multiserver.server_number()), 0, new_version, 'S',
            change::text);
  perform multiserver.refuse_if_rows_may_be_hidden(relation) from unnest(keyed) as relation;
  for t in select table_id from multiserver.tables
           where relation = any (touched) and (unsent_rows or relation = any (retyped || keyed)) loop
    perform multiserver.send_rows(t.table_id);
  end loop;
end $$;

-- The statements with the roles to run them as, in order.
create function multiserver.schema_statements(touched oid[]) returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  s record;
  result jsonb := '[]';
begin
  for s in select d.text, d.owner
           from multiserver.difference(touched) with ordinality as d (step, owner, text, n) order by step, n loop
    if not pg_has_role('multiserver_engine', s.owner, 'USAGE') then
      perform multiserver.refuse(format('an object that belongs to %s', pg_get_userbyid(s.owner)),
        format('SET ROLE %s first.',
               (select pg_get_userbyid(datdba) from pg_database where datname = current_database())));
    end if;
    result := result || jsonb_build_object('role', pg_get_userbyid(s.owner), 'text', s.text);
  end loop;
  return result;
end $$;

-- An application may make a table, then its unique index, and only then its key. So a table without key and without rows
-- may come to a state in which it is not replicated; if it is changed again it may come back, under another number.
create function multiserver.may_be_given_up(relation oid) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from pg_class c where c.oid = relation) or not multiserver.is_without_key(relation)
     or exists (select from multiserver.tables t where t.relation = may_be_given_up.relation
                and to_regclass(format('multiserver.register_%s', t.table_id)) is not null) then
    return false;
  end if;
  return not multiserver.may_have_rows(relation);
end $$;

-- The tables among the objects whose rows travel, with numbers and layouts; a warning for every other.
-- Of the relatives of the tables that the statement named only those that changed, too.
create function multiserver.tables_to_replicate(touched oid[], named oid[], new_version bigint) returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  relation record;
  t record;
  reason text;
  columns jsonb;
  same boolean;
  next_id integer := (select coalesce(max(table_id), 0) + 1 from multiserver.tables);
  result jsonb := '[]';
begin
  for relation in select oid from pg_class where oid = any (touched) and relkind = 'r' and not multiserver.is_local(oid)
                  order by oid loop
    select x.table_id, x.layout, to_jsonb(l) as columns into t
      from multiserver.tables x join multiserver.layouts l using (table_id, layout) where x.relation = relation.oid;
    reason := multiserver.reason_not_replicated(relation.oid);
    if reason is null and t.table_id is not null and multiserver.is_without_key(relation.oid)
       and to_regclass(format('multiserver.register_%s', t.table_id)) is not null then
      reason := multiserver.no_key_message(relation.oid);
    end if;
    if reason is not null and t.table_id is not null and not multiserver.may_be_given_up(relation.oid) then
      perform multiserver.refuse(reason || '; a replicated table that no longer can be');
    elsif reason is not null then
      raise warning using errcode = 'MS010', message = 'rows will stay at this site: ' || reason;
      continue;
    end if;
    columns := multiserver.describe_layout(relation.oid);
    same := coalesce((t.columns -> 'column_ids', t.columns -> 'column_names')
                     = (columns -> 'column_ids', columns -> 'column_names'), false);
    continue when same and relation.oid <> all (named) and exists (
      select from pg_trigger where tgrelid = relation.oid and tgname = 'multiserver_insert'
        and (tgtype & 1 = 1) = multiserver.is_captured_by_row(relation.oid));
    result := result || jsonb_build_object('table_id', coalesce(t.table_id, next_id),
      'name', multiserver.qualified_name(relation.oid), 'columns', columns,
      'layout', case when same then t.layout else new_version end);
    next_id := next_id + (t.table_id is null)::integer;
  end loop;
  return result;
end $$;

-- Take the schema as it is for what the peers know, without an event: at the schema site's opening, if its database was
-- copied from a donor, which has the schema that everybody has but keeps no known parts.
create function multiserver.adopt_schema() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  t record;
begin
  -- Layouts call a column by its attribute number at the schema site, which a copy of a peer's database must share.
  for t in
    select x.name from multiserver.tables x join multiserver.layouts l using (table_id, layout)
    where x.relation is not null
      and multiserver.describe_layout(x.relation) -> 'column_ids' <> to_jsonb(l.column_ids)
  loop
    raise exception using errcode = 'MS022',
      message = format('the columns of table %s have other numbers here than at the schema site before', t.name),
      hint = 'Empty the volume and let the site be copied from another donor.';
  end loop;
  delete from multiserver.known_parts;
  insert into multiserver.known_parts (class, object, column_number, belongs_to, kind, owner, place, name, facts)
    select class, object, column_number, belongs_to, kind, owner, place, name, facts from multiserver.parts;
end $$;
