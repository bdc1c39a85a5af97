-- Parked rows: winners that cannot be stored, because another row has their unique value or because this site refuses them.
--
-- Two sites may give the same unique value (an invoice number, a login name) to rows with different keys. Both changes
-- won their own key, but only one row can stand in the table: the one with the greater (version, key). The other is
-- parked with its image: nothing is lost, and status shows it.
--
-- Invariant, restored by settle: a row is parked if and only if a stored row with a greater (version, key) has one of its
-- unique values. Which rows are stored therefore follows from the registers alone and is the same at every site.
--
-- A row may also be refused by this site alone: by a CHECK that only it has, a value that its enum lacks, an error in a
-- function of the application. It is parked too (place_or_quarantine), with the SQLSTATE, and out of the table: were the
-- old row left there, the next local change of it would go over the refused one without anybody having seen it.
-- Settling tries it again, at growing intervals. Such rows make no difference for others: they are nobody's rivals.
--
-- A key is parked once. No unique index says so, since the text of a key may be longer than a btree takes: whoever parks
-- has the merging lock (80_receive.sql).
--
-- A local write can free a unique value, and the write must not wait for this; so every heartbeat from a peer settles too
-- (in its apply worker, with the rights and the silence of triggers that writing rows needs).

create table multiserver.parked (
  table_id integer not null references multiserver.tables,
  key text collate "C" not null,
  version bigint not null,
  layout bigint not null,
  image text not null,
  reason text not null,
  parked_at timestamptz not null default clock_timestamp(),
  sqlstate text,
  attempts integer not null default 0,
  next_try timestamptz
);
create index on multiserver.parked (table_id);
create index on multiserver.parked using hash (key);
grant insert, update, delete on multiserver.parked to multiserver_apply;
comment on table multiserver.parked is 'Rows that cannot be stored now, with their images.';
comment on column multiserver.parked.sqlstate is 'Why this site refuses the row; null if another row has its unique value.';

-- Is it the row's fault, so that only this row must wait? Everything else (a schema event or an upgrade that must come
-- first, locks, resources, a broken connection, a plan or function that has just changed) passes by itself or concerns all
-- rows; a unique value has a way of its own (place).
create function multiserver.is_row_fault(sqlstate text) returns boolean language sql immutable
  return sqlstate !~ '^(MS|08|25|40|53|55|57|58|F0|XX)' and sqlstate not in ('0A000', '23505', '23P01', '42703');

-- Merging is careful, which costs a subtransaction for every batch or row, in the first transaction of a session, and for
-- a minute after it found a row that cannot be stored. An apply worker that fails ends, and its successor begins with the
-- transaction that failed: so what cannot be stored is parked at the second try, and no link stands still for it.
-- The setting multiserver.careless is 'yes' once both are over; it makes the question, asked for every event, cheap.
create function multiserver.is_still_careful() returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  until constant text := current_setting('multiserver.careful_until', true);
  first_transaction text := current_setting('multiserver.first_transaction', true);
  careful boolean;
begin
  if first_transaction is null or first_transaction = '' then
    first_transaction := set_config('multiserver.first_transaction', pg_current_xact_id()::text, false);
  end if;
  careful := first_transaction = pg_current_xact_id()::text
    or coalesce(until <> '' and date_part('epoch', clock_timestamp()) < until::double precision, false);
  if not careful then
    perform set_config('multiserver.careless', 'yes', false);
  end if;
  return careful;
end $$;

create function multiserver.is_careful() returns boolean language sql volatile
  return coalesce(current_setting('multiserver.careless', true), '') <> 'yes' and multiserver.is_still_careful();

create function multiserver.stay_careful() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform set_config('multiserver.careful_until', (date_part('epoch', clock_timestamp()) + 60)::text, false);
  perform set_config('multiserver.careless', '', false);
end $$;

-- What placing and settling need of one table, by text key.
create function multiserver.create_unique_helpers(variables jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  execute multiserver.render($template$
create or replace function multiserver.remove_row_{id}(_key text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_variable
declare
  _fields multiserver.fields_{key_count} := _key::multiserver.fields_{key_count};
  {key_variables}
begin
  {key_from_fields}
  delete from only {table} t where {t_is_key};
end $body$
$template$, variables);

  execute multiserver.render($template$
create or replace function multiserver.live_version_{id}(_key text) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_variable
declare
  _fields multiserver.fields_{key_count} := _key::multiserver.fields_{key_count};
  _found record;
  {key_variables}
begin
  {key_from_fields}
  select r.version, r.deleted into _found from {register} r where {register_is_key} for update;
  return case when not found then 0 when not _found.deleted then _found.version end;
end $body$
$template$, variables);

  -- Read as text: an image that this site cannot read as a row of the table has a key all the same.
  execute multiserver.render($template$
create or replace function multiserver.key_of_image_{id}(_image text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $body$
begin
  return (select textin(record_out(row({key_fields}))) from (select (_image::multiserver.fields_{column_count}).*) as f);
end $body$
$template$, variables || multiserver.key_fields((variables ->> 'id')::integer));

  execute multiserver.render($template$
create or replace function multiserver.row_image_{id}(_key text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_variable
declare
  _fields multiserver.fields_{key_count} := _key::multiserver.fields_{key_count};
  {key_variables}
begin
  {key_from_fields}
  -- Its text would be taken for one of the layout (25_altered_by_hand.sql).
  return (select textin(record_out(t)) from only {table} t where {t_is_key} and multiserver.other_columns({id}) is null);
end $body$
$template$, variables);

  execute multiserver.render($template$
create or replace function multiserver.colliding_rows_{id}(_image text) returns setof multiserver.parked
language plpgsql set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_variable
declare
  _incoming {table} := _image::{table};
  _row {table};
begin
  for _row in select t.* from only {table} t where not ({t_is_incoming}) and ({collides}) for update loop
    return next row({id}, textin(record_out(row({key_of_row}))),
      multiserver.live_version_{id}(textin(record_out(row({key_of_row})))),
      {layout}, textin(record_out(_row)), 'unique', clock_timestamp(), null, 0, null)::multiserver.parked;
  end loop;
end $body$
$template$,
    variables || jsonb_build_object('collides',
      coalesce(multiserver.collision_condition((variables ->> 'id')::integer), 'false')));
end $$;

-- Where an image in the table's layout has the key, as fields f1, f2, ...
create function multiserver.key_fields(p_table_id integer) returns jsonb language sql stable
  return (select jsonb_build_object('column_count', count(*),
      'key_fields', string_agg('f' || c.position, ', ' order by array_position(i.indkey::int2[], c.number))
                      filter (where c.number = any (i.indkey)))
    from multiserver.tables t join pg_index i on i.indrelid = t.relation and i.indisprimary
    join multiserver.layout_columns c using (table_id)
    where t.table_id = p_table_id);

-- When does a stored row (in the columns of the table) collide with `_incoming` on a secondary unique index or on an
-- EXCLUDE constraint, whose operators are equality too (26_unreplicated_tables.sql)?
create function multiserver.collision_condition(p_table_id integer) returns text
language sql stable
begin atomic
  select string_agg(format('(%s)', condition), ' or ' order by indexrelid) from (
    select i.indexrelid,
      string_agg(format(
        case when i.indnullsnotdistinct then '((%1$s) %2$s (%3$s) or ((%1$s) is null and (%3$s) is null))'
             else '(%1$s) %2$s (%3$s)' end,
        e.stored || e.collation, coalesce(e.excludes, multiserver.equality(i.indexrelid, e.number)), e.incoming),
        ' and ' order by e.number)
      || case when i.indpred is null then ''
              else format(' and (%1$s) and (select (%1$s) from (select (_incoming).*) incoming)',
                          pg_get_expr(i.indpred, i.indrelid)) end as condition
    from multiserver.tables t
    join pg_index i on i.indrelid = t.relation and (i.indisunique or i.indisexclusion) and not i.indisprimary
    left join pg_constraint x on x.conindid = i.indexrelid and x.contype = 'x'
    cross join lateral (
      select number, pg_get_indexdef(i.indexrelid, number, true) as stored,
        format('select %s from (select (_incoming).*) incoming',
               pg_get_indexdef(i.indexrelid, number, true)) as incoming,
        case when i.indcollation[number - 1] <> 0
             then ' collate ' || i.indcollation[number - 1]::regcollation else '' end as collation,
        (select format('operator(%I.%s)', n.nspname, o.oprname)
         from pg_operator o join pg_namespace n on n.oid = o.oprnamespace where o.oid = x.conexclop[number]) as excludes
      from generate_series(1, i.indnkeyatts) as number) e
    where t.table_id = p_table_id
    group by i.indexrelid, i.indnullsnotdistinct, i.indpred, i.indrelid) conditions;
end;

create function multiserver.park(row_to_park multiserver.parked) returns void language sql
begin atomic
  delete from multiserver.parked where (table_id, key) = ((row_to_park).table_id, (row_to_park).key);
  insert into multiserver.parked values (row_to_park.*);
end;

-- Store a row whose key it won, parking whichever rows lose their unique value; true if the row itself is stored.
create function multiserver.place(p_table_id integer, p_key text, p_version bigint, p_image text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  colliding multiserver.parked[];
  other multiserver.parked;
begin
  for attempt in 1..20 loop
    execute format('select array_agg(c) from multiserver.colliding_rows_%s($1) c', p_table_id)
      into colliding using p_image;
    foreach other in array coalesce(colliding, '{}') loop
      if (other.version, other.key) > (p_version, p_key collate "C") then
        execute format('select multiserver.remove_row_%s($1)', p_table_id) using p_key;
        perform multiserver.park(row(p_table_id, p_key, p_version,
          (select layout from multiserver.tables where table_id = p_table_id), p_image,
          'another row has the same unique value: ' || other.key, clock_timestamp(), null, 0, null));
        return false;
      end if;
    end loop;
    foreach other in array coalesce(colliding, '{}') loop
      execute format('select multiserver.remove_row_%s($1)', p_table_id) using other.key;
      other.reason := 'another row has the same unique value: ' || p_key;
      perform multiserver.park(other);
    end loop;
    begin
      execute format('select multiserver.put_row_%s($1)', p_table_id) using p_image;
      delete from multiserver.parked where table_id = p_table_id and key = p_key;
      return true;
    exception when unique_violation or exclusion_violation then
      continue;  -- somebody stored such a row in the meantime: look again
    end;
  end loop;
  raise exception using errcode = 'serialization_failure',
    message = format('row %s of table number %s still collides after 20 attempts', p_key, p_table_id);
end $$;

-- The same, but a row that this site refuses is parked instead of failing the transaction.
create function multiserver.place_or_quarantine(p_table_id integer, p_key text, p_version bigint, p_image text)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  attempts_before constant integer := coalesce(
    (select attempts from multiserver.parked where (table_id, key, version) = (p_table_id, p_key, p_version)), 0);
  seconds constant integer := least(2 ^ least(attempts_before, 10), 60);
begin
  return multiserver.place(p_table_id, p_key, p_version, p_image);
exception when others or assert_failure then
  if multiserver.must_wait(sqlstate, p_table_id) then
    raise;
  end if;
  execute format('select multiserver.remove_row_%s($1)', p_table_id) using p_key;
  perform multiserver.park(row(p_table_id, p_key, p_version,
    (select layout from multiserver.tables where table_id = p_table_id), p_image,
    coalesce(multiserver.other_columns(p_table_id), sqlerrm), clock_timestamp(),
    sqlstate, attempts_before + 1, clock_timestamp() + make_interval(secs => seconds)));
  perform multiserver.stay_careful();
  return false;
end $$;

-- Bring the parked rows of one table to the invariant; returns how many were stored. Storing the greatest first can
-- only park smaller ones, so the rounds end. Then try refused rows whose time has come.
create function multiserver.settle_table(p_table_id integer) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  waiting multiserver.parked;
  stored integer := 0;
  again boolean := true;
begin
  if multiserver.other_columns(p_table_id) is not null then
    return 0;
  end if;
  while again loop
    again := false;
    for waiting in select * from multiserver.parked where table_id = p_table_id and sqlstate is null
                   order by version desc, key desc loop
      if multiserver.settle_row(waiting) then
        stored := stored + 1;
        again := true;
      end if;
    end loop;
  end loop;
  for waiting in select * from multiserver.parked where table_id = p_table_id and next_try <= clock_timestamp()
                 order by next_try limit 1000 loop
    stored := stored + multiserver.settle_row(waiting)::integer;
  end loop;
  return stored;
end $$;

-- Try to store one parked row; returns whether it stands in the table now.
create function multiserver.settle_row(waiting multiserver.parked) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  live_version bigint;
  image text;
begin
  execute format('select multiserver.live_version_%s($1)', waiting.table_id) into live_version using waiting.key;
  if live_version is distinct from waiting.version then  -- a later change of the key has made it obsolete
    delete from multiserver.parked
      where (table_id, key, version) = (waiting.table_id, waiting.key, waiting.version);
    if multiserver.version_site(live_version) = multiserver.server_number() then
      perform multiserver.note_overwritten(waiting, live_version);
    end if;
    return false;
  end if;
  image := multiserver.translate(waiting.table_id, waiting.layout, waiting.image);
  if waiting.sqlstate is not null then
    return multiserver.place_or_quarantine(waiting.table_id, waiting.key, waiting.version, image);
  end if;
  return multiserver.is_free(waiting.table_id, image, waiting.version, waiting.key)
     and multiserver.place(waiting.table_id, waiting.key, waiting.version, image);
end $$;

-- Does no stored row with a greater (version, key) have a unique value of this image?
create function multiserver.is_free(p_table_id integer, image text, p_version bigint, p_key text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  free boolean;
begin
  execute format('select not exists (select from multiserver.colliding_rows_%s($1) c
                  where (c.version, c.key) > ($2, $3 collate "C"))', p_table_id)
    into free using image, p_version, p_key;
  return free;
end $$;

-- Bring all parked rows to the invariant.
create function multiserver.settle_parked_rows() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  t record;
begin
  for t in select distinct table_id from multiserver.parked loop
    perform multiserver.settle_table(t.table_id);
  end loop;
end $$;
