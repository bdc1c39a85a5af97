-- Merge: what a row event does at a site that receives it.
--
-- For every row: lock it, compare and set its register entry, and if the event won, write. Many rows, of one event or
-- pulled from a peer (22_compare.sql), are merged as sets as far as they go (create_merge_many).
--
-- A change that lost against one whose writer had not seen it is written to the conflict log (23_conflicts.sql).
--
-- Why it converges: the register keeps the greatest version per key and the table keeps the image that came with it.
-- Neither depends on the order of arrival, and merging an event twice changes nothing the second time. An event that is
-- older than the register writes nothing at all, so rows that did not change keep their xmin.
--
-- Local writers lock the row first (by writing it) and the register entry second (by capture); merge does the same. Where
-- a row does not exist yet there is nothing to lock first: then merge and a local INSERT of the same key may meet in the
-- opposite order, PostgreSQL finds the deadlock, and the apply worker, whose deadlock_timeout is short, is the one that
-- gives way and tries again. Apply workers among themselves are kept apart by one lock (80_receive.sql).
--
-- A row that this site cannot store must not hold up the link: merging is careful after a failure (is_careful).
--
-- Subscription workers run with session_replication_role = replica: triggers of the application, foreign keys and
-- capture stay silent.

create function multiserver.create_merge(p_table_id integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v jsonb := multiserver.template_variables(p_table_id);
  write constant text := case when v ->> 'changes' = ''
    then 'perform from only {table} t where {t_is_key};'
    else 'update only {table} t set {changes} where {t_is_key};' end || $template$
      if not found then
        {add}
      end if;$template$;
begin
  perform multiserver.ensure_fields_type((v ->> 'key_count')::integer);
  perform multiserver.create_unique_helpers(v);
  -- A GENERATED ALWAYS identity can be inserted but not updated: a row that has got another number is written anew.
  v := v || jsonb_build_object('add', multiserver.render(
    'insert into {table} ({columns}) overriding system value values ({values});', v));
  v := v || jsonb_build_object('write', multiserver.render(
    case when v ->> 'other_identity' is null then '' else
      'delete from only {table} t where {t_is_key} and ({other_identity});' end || write, v));
  execute multiserver.render($template$
create or replace function multiserver.put_row_{id}(_image text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_variable
declare
  _fits constant boolean := {fits};
  _incoming {table} := _image::{table};
  {key_variables}
begin
  {key_from_image}
  {write}
end $body$
$template$, v);

  if (v ->> 'has_unique')::boolean then
    v := v || jsonb_build_object('after', multiserver.render(
      'if exists (select from multiserver.parked p where p.table_id = {id}) then
    perform multiserver.settle_table({id});
  end if;', v), 'write', multiserver.or_place(v ->> 'write', v), 'add', multiserver.or_place(v ->> 'add', v));
  else
    v := v || '{"after": ""}';
  end if;
  perform multiserver.create_merge_one(v);
  perform multiserver.create_merge_many(v);
  update multiserver.parked set next_try = clock_timestamp() where table_id = p_table_id and sqlstate is not null;
end $$;

-- Merge one row, or one deleted key; the answer is whether it won. (A function with a result can be called by an
-- assignment, which costs less than PERFORM: that is a statement with an executor of its own.)
create function multiserver.create_merge_one(variables jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  execute multiserver.render($template$
create or replace function multiserver.merge_one_{id}(
  _kind "char", _version bigint, _base bigint, _image text, _careful boolean) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_variable
declare
  _fits boolean;
  _known record;
  _incoming {table};
  _fields multiserver.fields_{key_count};
  {key_variables}
begin
  if not _careful then
    _fits := {fits};
    {short_way}
  end if;
  if _kind = 'D' then
    _fields := _image::multiserver.fields_{key_count};
    {key_from_fields}
  elsif _careful then
    _fields := multiserver.key_of_image_{id}(_image)::multiserver.fields_{key_count};
    {key_from_fields}
  else
    _incoming := _image::{table};
    {key_from_image}
  end if;
  if _version <= multiserver.collected_horizon() and not exists (select from {register} r where {register_is_key}) then
    return false;  -- all sites had it, or a later one, before the register row was collected
  end if;
  perform from only {table} t where {t_is_key} for update;
  if _kind <> 'I' then  -- the register has the key, as a rule; if not, the next statement gives it one
    update {register} r set version = _version, base = _base, deleted = _kind = 'D',
        unbroken_from = case when r.version = _base then r.unbroken_from else _base end
      where {register_is_key} and r.version < _version
      returning old.* into _known;
  end if;
  if _kind = 'I' or not found then
    insert into {register} as r ({register_key}, version, base, unbroken_from, deleted)
      values ({key_values}, _version, _base, _base, _kind = 'D')
      on conflict ({register_key}) do update
        set version = excluded.version, base = excluded.base, deleted = excluded.deleted,
          unbroken_from = case when r.version = excluded.base then r.unbroken_from else excluded.base end
        where excluded.version > r.version
      returning old.* into _known;
  end if;
  if not found then
    select r.* into _known from {register} r where {register_is_key};
    perform multiserver.note_seen({id}, textin(record_out(row({key_values}))), _base);
    if multiserver.is_unseen(_version, _known.version, _known.base, _known.unbroken_from, {site}) then
      perform multiserver.note_conflict({id}, textin(record_out(row({key_values}))), false,
        _version, _base, _kind = 'D', _image, _known.version, _known.deleted);
    end if;
    return false;
  end if;
  if _known.version <> coalesce(_base, 0) then
    perform multiserver.note_conflict({id}, textin(record_out(row({key_values}))), true,
      _version, _base, _kind = 'D', _image, _known.version, _known.deleted);
  end if;
  if _kind = 'D' then
    delete from only {table} t where {t_is_key};
  elsif _careful then
    perform multiserver.place_or_quarantine({id}, textin(record_out(row({key_values}))), _version, _image);
  else
    {write}
  end if;
  {after}
  return true;
end $body$
$template$, variables || jsonb_build_object('short_way', multiserver.render(multiserver.short_way(), variables)));
end $$;

-- The short way for one row: what comes to pass as a rule, in few steps. A row that was changed over exactly the version
-- that this site has, or that nobody here knows, has won and lost nothing to anybody. All else goes the general way.
create function multiserver.short_way() returns text language sql immutable
  return $template$
    if _kind = 'U' then
      _incoming := _image::{table};
      {key_from_image}
      perform from only {table} t where {t_is_key} for update;
      update {register} r set version = _version, base = _base
        where {register_is_key} and r.version = _base and not r.deleted;
      if found then
        {write}
        {after}
        return true;
      end if;
    elsif _kind = 'I' and coalesce(_version > multiserver.collected_horizon(), true) then
      _incoming := _image::{table};
      {key_from_image}
      perform from only {table} t where {t_is_key} for update;
      if not found then
        insert into {register} ({register_key}, version, base, unbroken_from, deleted)
          values ({key_values}, _version, _base, _base, false) on conflict do nothing;
        if found then
            {add}
          {after}
          return true;
        end if;
      end if;
    elsif _kind = 'D' then
      _fields := _image::multiserver.fields_{key_count};
      {key_from_fields}
      perform from only {table} t where {t_is_key} for update;
      update {register} r set version = _version, base = _base, deleted = true
        where {register_is_key} and r.version = _base and not r.deleted;
      if found then
        delete from only {table} t where {t_is_key};
        {after}
        return true;
      end if;
    end if;$template$;

-- Write a row; if another row has a unique value of it, let the two find their places.
create function multiserver.or_place(write text, variables jsonb) returns text language sql immutable
  return multiserver.render($template$
      begin
        {write}
      exception when unique_violation or exclusion_violation then
        perform multiserver.place({id}, textin(record_out(row({key_values}))), _version, _image);
      end;$template$, variables || jsonb_build_object('write', write));

-- Many rows or keys, at most one a key, each with its own version and base: of one event, or pulled. They are merged as a
-- set if all of them win, over changes that their writers had seen, and can be stored; if not, each half is tried, down
-- to a few, which are merged one by one. So a row that needs looking at costs its neighbours little.
create function multiserver.create_merge_many(variables jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform multiserver.create_merge_set(variables);
  execute multiserver.render($template$
create or replace function multiserver.merge_many_{id}(
  _kind "char", _versions bigint[], _bases bigint[], _images text[], _careful boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_variable
declare
  _count constant integer := cardinality(_images);
  _half constant integer := _count / 2;
begin
  if _count > 1 and multiserver.merge_set_{id}(_kind, _versions, _bases, _images, _careful) then
    {after}
  elsif _count > 8 then
    perform multiserver.merge_many_{id}(_kind, _versions[:_half], _bases[:_half], _images[:_half], _careful);
    perform multiserver.merge_many_{id}(_kind, _versions[_half + 1:], _bases[_half + 1:], _images[_half + 1:], _careful);
  else
    for _n in 1.._count loop
      perform multiserver.merge_one_{id}(_kind, _versions[_n], _bases[_n], _images[_n], _careful);
    end loop;
  end if;
end $body$
$template$, variables);
end $$;

-- Merge a set if that is plain; the answer is whether it was. First the register is only read, so that a set that is not
-- plain writes nothing, as a rule. Whoever changes a key between that and the writing undoes it all: the register is
-- compared and set after the rows, as everywhere.
create function multiserver.create_merge_set(variables jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v jsonb := variables || multiserver.set_variables((variables ->> 'id')::integer);
  steps constant text := $template$
    select count(*) filter (where r.version = x.version),
      count(*) filter (where case when r.version is null then coalesce(x.version > _horizon, true)
                             else r.version < x.version and {x_saw_r} end)
      into _merged_before, _plain
      from {set} left join {register} r on {r_is_x};
    if _merged_before = cardinality(_images) then
      return true;
    elsif _plain < cardinality(_images) then
      return false;
    end if;
    {write_set}
    merge into {register} r using {set} on {r_is_x}
      when matched and r.version < x.version and {x_saw_r} then update set version = x.version, base = x.base,
        deleted = _kind = 'D', unbroken_from = case when r.version = x.base then r.unbroken_from else x.base end
      when not matched then insert ({register_key}, version, base, unbroken_from, deleted)
        values ({key_of_x}, x.version, x.base, x.base, _kind = 'D');
    get diagnostics _set = row_count;$template$;
  write_rows constant text := case when v ->> 'other_identity' is null then '' else
    'if exists (select from {rows} join only {table} t on {t_is_x} where {other_identity_of_x}) then
      return false;
    end if;' end || '
    merge into only {table} t using {rows} on {t_is_x}
      when matched then ' || case when v ->> 'changes' = '' then 'do nothing' else 'update set {changes_of_x}' end || '
      when not matched then insert ({columns}) overriding system value values ({values_of_x});';
begin
  v := v || jsonb_build_object(
    'x_saw_r', '(r.version = x.base or r.version < x.base and not multiserver.may_be_unseen(r.version))');
  v := v || jsonb_build_object(
    'merge_keys', multiserver.render(steps, v || (v -> 'of_keys') || jsonb_build_object('set', v ->> 'keys',
      'write_set', multiserver.render('delete from only {table} t using {keys} where {t_is_x};', v || (v -> 'of_keys')))),
    'merge_rows', multiserver.render(steps, v || (v -> 'of_rows') || jsonb_build_object('set', v ->> 'rows',
      'write_set', multiserver.render(write_rows, v || (v -> 'of_rows')))));
  execute multiserver.render($template$
create or replace function multiserver.merge_set_{id}(
  _kind "char", _versions bigint[], _bases bigint[], _images text[], _careful boolean) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $body$
#variable_conflict use_column
declare
  _fits boolean;
  _horizon constant bigint := multiserver.collected_horizon();
  _rows {table}[];
  _merged_before bigint;
  _plain bigint;
  _set bigint;
begin
  _fits := {fits};
  if _kind = 'D' then
    {merge_keys}
  else
    _rows := array(select i.image::{table} from unnest(_images) as i (image));
    {merge_rows}
  end if;
  if _set < cardinality(_images) then
    raise exception using errcode = 'MS030', message = 'not all rows of a set won';
  end if;
  return true;
exception
  -- MERGE does not support tables with rules.
  when sqlstate 'MS030' or unique_violation or exclusion_violation or feature_not_supported then
    return false;
  when others or assert_failure then
    if not _careful or multiserver.must_wait(sqlstate, {id}) then
      raise;
    end if;
    return false;
end $body$
$template$, v);
end $$;

-- Template variables of a set x: `keys` reads deleted keys as x.k1, x.k2, ..., `rows` reads rows as x.c1, x.c2, ... by the
-- columns' positions in the layout, both with x.version and x.base. Rows are read from their images once, into an array.
create function multiserver.set_variables(p_table_id integer) returns jsonb
language sql stable
begin atomic
  with key as (
    select k.n, c.name, c.position, multiserver.base_type(c.type, c.modifier) as type,
      multiserver.equality(i.indexrelid, k.n::integer) as equal
    from multiserver.tables t join pg_index i on i.indrelid = t.relation and i.indisprimary
    cross join lateral unnest(i.indkey::int2[]) with ordinality as k (number, n)
    join multiserver.layout_columns c on c.table_id = t.table_id and c.number = k.number
    where t.table_id = p_table_id)
  select jsonb_build_object(
      'keys', format('(select %s, i.version, i.base from unnest(_images, _versions, _bases) as i (image, version, base),
        lateral (select (i.image::multiserver.fields_%s).*) as f) as x',
        (select string_agg(format('f.f%1$s::%2$s as k%1$s', n, type), ', ' order by n) from key),
        (select count(*) from key)),
      'of_keys', (select jsonb_build_object(
          'key_of_x', string_agg(format('x.k%s', n), ', ' order by n),
          'r_is_x', string_agg(format('r.k%1$s %2$s x.k%1$s', n, equal), ' and ' order by n),
          't_is_x', string_agg(format('t.%I %s x.k%s', name, equal, n), ' and ' order by n)) from key),
      'of_rows', (select jsonb_build_object(
          'key_of_x', string_agg(format('x.c%s', position), ', ' order by n),
          'r_is_x', string_agg(format('r.k%1$s %2$s x.c%3$s', n, equal, position), ' and ' order by n),
          't_is_x', string_agg(format('t.%I %s x.c%s', name, equal, position), ' and ' order by n)) from key))
    || jsonb_build_object(
      'rows', format('unnest(_rows, _versions, _bases) as x (%s, version, base)',
                     string_agg(format('c%s', position), ', ' order by position)),
      'values_of_x', string_agg(format('x.c%s', position), ', ' order by position) filter (where generated = ''),
      'changes_of_x', coalesce(string_agg(format('%I = x.c%s', name, position), ', ' order by position) filter (
        where generated = '' and identity <> 'a' and not coalesce(
          position in (select position from key) and multiserver.equal_is_same(c.type, c.collation), false)), ''),
      'other_identity_of_x', coalesce(string_agg(format('t.%I <> x.c%s', name, position), ' or ') filter (
        where identity = 'a' and position not in (select position from key)), ''))
    from multiserver.layout_columns c where c.table_id = p_table_id;
end;

-- Merge rows of one layout, or keys, whatever their table.
create function multiserver.merge_any_rows(
  p_table_id integer, p_layout bigint, kind "char", versions bigint[], bases bigint[], images text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  t record;
begin
  select x.relation, x.layout, x.name into t from multiserver.tables x where x.table_id = p_table_id;
  if not found or p_layout > t.layout then
    raise exception using errcode = 'MS001',
      message = format('rows of %s were written under schema version %s, which has not arrived from %s yet: waiting',
        coalesce('table ' || t.name, 'a new table'), p_layout, multiserver.site_name(multiserver.schema_site()));
  elsif t.relation is null then
    return;  -- dropped here; they were under way
  elsif p_layout < t.layout and kind <> 'D' then
    images := array(select multiserver.translate(p_table_id, p_layout, image) from unnest(images) as image);
  end if;
  execute format('select multiserver.merge_many_%s($1, $2, $3, $4, $5)', p_table_id)
    using kind, versions, bases, images, multiserver.is_careful();
end $$;

-- The rows of an event, and their versions and bases, one each.
create function multiserver.images_of(event multiserver.journal) returns text[] language sql immutable
  return coalesce(event.contents, array[event.content]);

create function multiserver.bases_of(event multiserver.journal) returns bigint[] language sql immutable
  return coalesce(event.bases, array_fill(event.base, array[coalesce(cardinality(event.contents), 1)]));

create function multiserver.versions_of(event multiserver.journal) returns bigint[] language sql immutable
  return array_fill(event.version, array[coalesce(cardinality(event.contents), 1)]);

-- Merge the rows of one event; of an event of one row the answer is whether it won. The body is written anew whenever a
-- table or its layout has changed (create_merge_rows): it finds the merge function of a table in its present layout by
-- comparing numbers, since a call whose name is made at run time is planned for every event.
create function multiserver.merge_rows(event multiserver.journal) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform multiserver.merge_any_rows(event.table_id, event.layout, event.kind, multiserver.versions_of(event),
    multiserver.bases_of(event), multiserver.images_of(event));
  return true;
end $$;

-- Nothing in it comes from outside, so PostgreSQL need not check it, which would take longer than making it.
create function multiserver.create_merge_rows() returns void
language plpgsql set search_path = pg_catalog, pg_temp set check_function_bodies = off as $$
declare
  known constant multiserver.tables[] := array(
    select t from multiserver.tables t where t.relation is not null order by t.table_id);
  ids constant integer[] := array(select table_id from unnest(known));
  layouts constant bigint[] := array(select layout from unnest(known));
begin
  execute multiserver.render($template$
create or replace function multiserver.merge_rows(event multiserver.journal) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $body$
begin
  {find_table}
  perform multiserver.merge_any_rows(event.table_id, event.layout, event.kind, multiserver.versions_of(event),
    multiserver.bases_of(event), multiserver.images_of(event));
  return true;
end $body$
$template$, jsonb_build_object('find_table', multiserver.find_table(ids, layouts, 1, cardinality(ids))));
end $$;

-- Statements that call the merge function of an event's table if it is one of ids[low..high]: a binary tree.
create function multiserver.find_table(ids integer[], layouts bigint[], low integer, high integer) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  middle constant integer := (low + high) / 2;
begin
  if low > high then
    return '';
  elsif low = high then
    return format('if event.table_id = %s and event.layout = %s then
    if event.contents is null then
      return multiserver.merge_one_%1$s(
        event.kind, event.version, event.base, event.content, multiserver.is_careful());
    end if;
    perform multiserver.merge_many_%1$s(event.kind, multiserver.versions_of(event), multiserver.bases_of(event),
      event.contents, multiserver.is_careful());
    return true;
  end if;', ids[low], layouts[low]);
  else
    return format('if event.table_id > %s then %s else %s end if;', ids[middle],
                  multiserver.find_table(ids, layouts, middle + 1, high),
                  multiserver.find_table(ids, layouts, low, middle));
  end if;
end $$;
