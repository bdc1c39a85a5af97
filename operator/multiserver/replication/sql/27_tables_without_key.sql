-- Tables without primary key: logs and journals of the application, to which rows are only added.
--
-- Such a row has no name by which two sites could speak of it, so there is nothing to merge: it is to be added exactly
-- once at every site. PostgreSQL's replication delivers once, but a slot that is made anew, or a pull from another site,
-- may bring an event again. So every event that adds rows has a name of its own, a UUID, drawn when it is captured and
-- sent as the first of its contents (kind A).
--
-- Invariant: an event's rows stand in the table if and only if multiserver.appended has the event's name; both are
-- written in one transaction, at the origin by capture and elsewhere by merge.
--
-- The events are kept there whole, because a site that missed one can get it from any other: nothing leads back from the
-- name to the rows. They may be forgotten when every site is known to have them (forget_appended).
--
-- Changed or deleted rows cannot be described, so UPDATE, DELETE and TRUNCATE are refused (MS011) with the statement
-- that adds a key. When the table gets one, all its rows are sent under their keys, and events of kind A that are still
-- under way are merged as insertions of those keys.

create table multiserver.appended (
  event uuid primary key,
  table_id integer not null references multiserver.tables,
  version bigint not null,
  layout bigint not null,
  content text[] not null
);
create index on multiserver.appended (version);
grant insert on multiserver.appended to multiserver_apply;
comment on table multiserver.appended is 'Events that added rows to tables without primary key; each is applied once.';

-- The statement of a capture function. `source` is a FROM clause whose relation o has the new rows.
create function multiserver.append_statement(source text, variables jsonb) returns text language sql immutable
  return multiserver.render($template$
  with event as (
    insert into multiserver.appended (event, table_id, version, layout, content)
    select uuidv7(), {id}, _wished, {layout}, array_agg(image)
    from (select image, sum(length(image)) over (rows unbounded preceding) / 65536 as part
          from (select textin(record_out(o.*)) as image from {source} offset 0) as row_images) as images
    group by part
    returning *)
  insert into multiserver.journal (version, table_id, layout, kind, contents)
  select version, table_id, layout, 'A', array[textin(uuid_out(event))] || content from event;$template$,
  variables || jsonb_build_object('source', source));

-- Capture and merge of one table; both are generated like those of tables with keys.
create function multiserver.create_append(variables jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform multiserver.create_capture_function('capture_insert', 'trigger',
    multiserver.append_statement((variables ->> 'new_rows') || ' o', variables), variables);
  perform multiserver.create_capture_function('send_rows', 'void',
    multiserver.append_statement(multiserver.render('only {table} o', variables), variables), variables);
  perform multiserver.create_append_merge(variables);
end $$;

create function multiserver.create_append_triggers(variables jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  execute multiserver.render('create or replace trigger multiserver_insert after insert on {table} {referencing_new}
    for each {each} execute function multiserver.capture_insert_{id}()', variables);
  execute multiserver.render('create or replace trigger multiserver_append_only before update or delete on {table}
    for each row execute function multiserver.refuse_without_key()', variables);
  execute multiserver.render('create or replace trigger multiserver_append_only_truncate before truncate on {table}
    for each statement execute function multiserver.refuse_without_key()', variables);
end $$;

-- A row that this site refuses is parked like any other (10_parked_rows.sql), under a name made up for it: (version,UUID).
create function multiserver.create_append_merge(variables jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  execute multiserver.render($template$
create or replace function multiserver.merge_many_{id}(
  _kind "char", _versions bigint[], _bases bigint[], _images text[], _careful boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $body$
declare
  _fits boolean;
begin
  _fits := {fits};
  insert into {table} ({columns}) overriding system value select {values_of_x}
    from unnest(_images) as i (image), lateral (select i.image::{table} as r offset 0) as x;
exception when others or assert_failure then
  if not _careful or multiserver.must_wait(sqlstate, {id}) then
    raise;
  end if;
  perform multiserver.place_or_quarantine({id}, format('(%s,%s)', version, uuidv7()), version, image)
    from unnest(_versions, _images) as i (version, image);
end $body$;

create or replace function multiserver.merge_one_{id}(
  _kind "char", _version bigint, _base bigint, _image text, _careful boolean) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $body$
begin
  perform multiserver.merge_many_{id}(_kind, array[_version], array[_base], array[_image], _careful);
  return true;
end $body$;

create or replace function multiserver.put_row_{id}(_image text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $body$
declare
  _fits constant boolean := {fits};
begin
  insert into {table} ({columns}) overriding system value select {values_of_x}
    from (select _image::{table} as r offset 0) as x;
end $body$;

create or replace function multiserver.live_version_{id}(_key text) returns bigint
language sql immutable return split_part(ltrim(_key, '('), ',', 1)::bigint;

create or replace function multiserver.remove_row_{id}(_key text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as 'begin null; end';

create or replace function multiserver.colliding_rows_{id}(_image text) returns setof multiserver.parked
language plpgsql set search_path = pg_catalog, pg_temp as 'begin end'
$template$, variables);
end $$;

-- The table has a key now.
create function multiserver.drop_append(variables jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from pg_trigger where tgrelid = (variables ->> 'table')::regclass
             and tgname = 'multiserver_append_only') then
    if exists (select from multiserver.parked where table_id = (variables ->> 'id')::integer) then
      raise exception using errcode = 'MS004',
        message = format('table %s gets a primary key, but rows of it are parked at this site', variables ->> 'table'),
        hint = 'Remove what refuses the rows (multiserver.parked has the reason); they are stored within a minute.';
    end if;
    execute multiserver.render('drop trigger multiserver_append_only on {table}', variables);
    execute multiserver.render('drop trigger multiserver_append_only_truncate on {table}', variables);
  end if;
end $$;

create function multiserver.refuse_without_key() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  raise exception using errcode = 'MS011', message = multiserver.no_key_message(tg_relid),
    detail = format('Rows can only be added to a table without primary key; this is %s.', tg_op),
    hint = 'Add the key at the schema site; or declare the table local in spec.schema.localTables.';
end $$;

-- What an event of kind A does at a site that receives it: nothing if it was merged before.
create function multiserver.merge_append(event multiserver.journal) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if event.version <= multiserver.collected_horizon() then
    return;  -- all sites had it before its name was forgotten
  end if;
  insert into multiserver.appended (event, table_id, version, layout, content)
    values (event.contents[1]::uuid, event.table_id, event.version, event.layout, event.contents[2:])
    on conflict do nothing;
  if found then
    event.kind := 'I';
    event.contents := event.contents[2:];
    perform multiserver.merge_rows(event);
  end if;
end $$;

-- The same for many events of one layout, given as the text of their content.
create function multiserver.merge_appended(p_table_id integer, p_layout bigint, versions bigint[], contents text[])
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  versions_of_rows bigint[];
  images text[];
begin
  with added as (
    insert into multiserver.appended (event, table_id, version, layout, content)
      select e.content[1]::uuid, p_table_id, e.version, p_layout, e.content[2:]
      from (select version, content::text[] from unnest(versions, contents) as c (version, content)) as e
      where coalesce(e.version > multiserver.collected_horizon(), true)
      on conflict do nothing
      returning version, content)
  select array_agg(added.version), array_agg(image) into versions_of_rows, images
    from added, unnest(added.content) as image;
  if images is not null then
    perform multiserver.merge_any_rows(p_table_id, p_layout, 'I', versions_of_rows,
      array_fill(null::bigint, array[cardinality(images)]), images);
  end if;
end $$;

-- Forget events that every site has: those up to `horizon`, a version; at most ten thousand a call. Returns how many.
create function multiserver.forget_appended(horizon bigint) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  forgotten bigint;
begin
  delete from multiserver.appended where event in (
    select a.event from multiserver.appended a where a.version <= horizon order by a.version limit 10000);
  get diagnostics forgotten = row_count;
  return forgotten;
end $$;
