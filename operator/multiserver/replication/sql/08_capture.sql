-- Capture: how a change at this site becomes events.
--
-- Statement-level AFTER triggers see all rows that a statement changed. Each first stores a version for every key in the
-- register, with the version before as its base, then appends the events with the versions and bases that it reads back
-- from there: a change and its event commit or vanish together.
--
-- Invariants
--   * An event carries the row as the table holds it when the version is drawn. Where something may have changed the row
--     again since the statement wrote it (an AFTER trigger that updates its own row, a cascading foreign key), the row is
--     read back; a row that is gone by then is left to the statement that removed it.
--   * Images and keys are PostgreSQL's own text form of a row, made by its output functions (record_out), never by a
--     cast that somebody could redefine. Settings that could change the text are fixed while it is made.
--   * A version that is read back is one that this statement has stored (`>= _wished`). To a REPEATABLE READ transaction a
--     register row that was collected since its snapshot is still there, beside the new one; but it is older than any
--     promise, and so than every new version.
--   * All rows of one statement get the same version unless a key already has a later one, so a bulk change becomes few
--     large events. Keys are what versions are compared by, so sharing one is harmless.
--   * An image has the columns of its layout (_fits, 25_altered_by_hand.sql).
--   * The statements' plans are kept, so they must suit one row and a million: rows are found by the primary keys
--     (enable_seqscan = off), and two sets of unknown size meet in EXCEPT only.
--
-- Most statements of an application change one row. For these there is a short way, which gives the very same event with
-- less work. It leaves everything that is not plain to the general way: several rows, a changed key, a row that is gone.
-- For a changed or deleted row it first tries to set the key's register row, which writes less than INSERT ... ON CONFLICT,
-- and gives the key one only if it has none, as after it was not changed for long (75_collect.sql).
--
-- The triggers are called multiserver_*; there are none while there is no peer (28_single_site.sql). They fire in ordinary sessions only (not while merging).

-- The two statements at the heart of every capture function. `source` is a FROM clause that gives the rows, at most one
-- per key; the key's columns come from its relation `alias`, and `image` is the row to show the peers.
create function multiserver.capture_statements(source text, alias text, image text, kind "char", variables jsonb)
returns text language sql immutable
  return multiserver.render($template$
  insert into {register} as r ({register_key}, version, deleted)
  select {keys}, _wished, {deleted} from {source}
  on conflict ({register_key}) do update
    set version = multiserver.version_after(r.version, excluded.version), base = r.version, deleted = excluded.deleted;
  insert into multiserver.journal (version, base, bases, layout, table_id, kind, content, contents)
  select version, case when count(*) = 1 or multiserver.are_same(array_agg(base)) then (array_agg(base))[1] end,
    case when count(*) > 1 and not multiserver.are_same(array_agg(base)) then array_agg(base) end,
    {layout}, {id}, '{kind}', case when count(*) = 1 then (array_agg(image))[1] end,
    case when count(*) > 1 then array_agg(image) end
  from (select version, base, image, sum(length(image)) over (rows unbounded preceding) / 65536 as part
        from (select r.version, r.base, textin(record_out({image})) as image
              from {source_rows} join {register} r on {r_is_alias} and r.version >= _wished offset 0) as row_images) as event
  group by version, part;$template$,
  variables || jsonb_build_object('kind', kind, 'deleted', (kind = 'D')::text,
    'source', multiserver.render(source, variables), 'image', multiserver.render(image, variables),
    'source_rows', format('(select %s.* from %s) as %1$s', alias, multiserver.render(source, variables)),
    'keys', variables ->> ('key_of_' || alias), 'r_is_alias', variables ->> ('r_is_' || alias)));

-- Do all rows of an event have one base? Asked of events with several rows only: those of one row must stay cheap.
create function multiserver.are_same(bases bigint[]) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return (select count(distinct coalesce(base, 0)) = 1 from unnest(bases) as base);
end $$;

-- The short way for a statement that changed one row, or none. `register_one` sets the register row of that row's key, or
-- does nothing; `rows` are all rows of the statement; `source` and `image` as above.
create function multiserver.capture_one(
  register_one text, rows text, source text, image text, kind "char", variables jsonb)
returns text language sql immutable
  return multiserver.render($template$
  {register_one} returning r.version, r.base into _version, _base;
  if found then
    insert into multiserver.journal (version, base, layout, table_id, kind, content)
      select _version, _base, {layout}, {id}, '{kind}', textin(record_out({image})) from {source};
    return null;
  elsif not exists (select from {rows} o) then
    return null;
  end if;$template$,
  variables || jsonb_build_object('kind', kind, 'image', multiserver.render(image, variables),
    'rows', multiserver.render(rows, variables), 'source', multiserver.render(source, variables),
    'register_one', multiserver.render(register_one, variables)));

-- Set the register row that a key has, if `is_one` holds.
create function multiserver.update_register(is_one text, deleted text) returns text language sql immutable
  return format($template$
  update {register} as r
    set version = multiserver.version_after(r.version, _wished), base = r.version, deleted = %s
    where %s$template$, deleted, is_one);

-- Set the register row of a key, or give it one, if `is_one` holds.
create function multiserver.write_register(source text, alias text, is_one text, deleted text)
returns text language sql immutable
  return format($template$
  insert into {register} as r ({register_key}, version, deleted)
    select {key_of_%1$s}, _wished, %4$s from %2$s where %3$s
    on conflict ({register_key}) do update
      set version = multiserver.version_after(r.version, excluded.version), base = r.version, deleted = %4$s$template$,
    alias, source, is_one, deleted);

-- Write one capture function around the statement.
create function multiserver.create_capture_function(name text, result text, statement text, variables jsonb)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  execute multiserver.render($template$
create or replace function multiserver.{name}_{id}() returns {result}
language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off
  {text_settings} as $body$
#variable_conflict use_column
declare
  _fits constant boolean := {fits};
  _wished constant bigint := multiserver.new_version({site});
  _version bigint;
  _base bigint;
begin
  {statement}
  {return}
end $body$
$template$, variables || jsonb_build_object('name', name, 'result', result, 'statement', statement,
    'return', case when result = 'trigger' then 'return null;' else '' end));
end $$;

create function multiserver.create_capture(p_table_id integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v constant jsonb := multiserver.template_variables(p_table_id);
  read_back constant boolean := v ->> 'read_back';
  written constant text := case when read_back then '{new_rows} o join only {table} t on {t_is_o}' else '{new_rows} o' end;
  alias constant text := case when read_back then 't' else 'o' end;
  gone constant text := '{old_rows} o where not exists (select from only {table} t where {t_is_o})';
  capture_gone constant text := multiserver.capture_statements(gone, 'o', 'row({key_of_o})', 'D', v);
  one_written constant text := 'not exists (select from {new_rows} o offset 1)'
    || case when read_back then format(' and exists (select from %s)', written) else '' end;
  one_gone constant text := format('not exists (select from {old_rows} o offset 1) and exists (select from %s)', gone);
  key_changed constant text := 'exists (select {key_of_o} from {old_rows} o except select {key_of_o} from {new_rows} o)';
begin
  perform multiserver.create_capture_function('capture_insert', 'trigger',
    multiserver.capture_one(multiserver.write_register(written, alias, one_written, 'false'), '{new_rows}', written,
                            alias || '.*', 'I', v)
    || multiserver.capture_statements(written, alias, alias || '.*', 'I', v), v);
  -- A changed key is a deleted row and a written row; another row may have taken the old key in the same statement.
  perform multiserver.create_capture_function('capture_update', 'trigger', multiserver.capture_one(
      multiserver.update_register('{r_is_first_new} and {r_is_first_old} and ' || one_written, 'false'),
      '{new_rows}', written, alias || '.*', 'U', v)
    || multiserver.capture_one(
      multiserver.write_register(written, alias, one_written || ' and not ' || key_changed, 'false'),
      '{new_rows}', written, alias || '.*', 'U', v)
    || multiserver.render(format($template$
  if %s then{capture_gone}
  end if;$template$, key_changed), v || jsonb_build_object('capture_gone', capture_gone))
    || multiserver.capture_statements(written, alias, alias || '.*', 'U', v), v);
  perform multiserver.create_capture_function('capture_delete', 'trigger', multiserver.capture_one(
      multiserver.update_register('{r_is_first_old} and ' || one_gone, 'true'),
      '{old_rows}', '{old_rows} o', 'row({key_of_o})', 'D', v)
    || multiserver.capture_one(multiserver.write_register('{old_rows} o', 'o', one_gone, 'true'),
      '{old_rows}', '{old_rows} o', 'row({key_of_o})', 'D', v)
    || capture_gone, v);
  -- Before TRUNCATE the rows are still there, and its lock keeps every other session out.
  perform multiserver.create_capture_function('capture_truncate', 'trigger',
    'perform multiserver.refuse_blind_truncate(tg_relid);'
    || multiserver.capture_statements('only {table} o', 'o', 'row({key_of_o})', 'D', v), v);
  -- Not a trigger: rows that are there already are sent as if they were written now. Each is locked before its register
  -- row, as everywhere, since others may delete it meanwhile.
  perform multiserver.create_capture_function('send_rows', 'void',
    multiserver.capture_statements('(select * from only {table} for key share) o', 'o', 'o.*', 'I', v), v);
end $$;

-- May the snapshot of this transaction be older than the lock that a statement has on its table? Then it may not show rows
-- that others have committed in between, though they are there for PostgreSQL itself.
create function multiserver.snapshot_may_be_old() returns boolean language sql stable
  return current_setting('transaction_isolation') not in ('read committed', 'read uncommitted');

-- TRUNCATE removes rows that a snapshot taken earlier does not show: they would be gone here and nowhere else.
create function multiserver.refuse_blind_truncate(relation oid) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if multiserver.snapshot_may_be_old() then
    raise exception using errcode = 'MS012',
      message = format('TRUNCATE of %s in a %s transaction, which may not see all rows that it removes',
                       multiserver.qualified_name(relation), upper(current_setting('transaction_isolation'))),
      hint = 'Run it in a READ COMMITTED transaction, or use DELETE.';
  end if;
end $$;

-- The triggers name no column: PostgreSQL would not let the application change the type of a column that one names.
create function multiserver.create_capture_triggers(variables jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  template text;
begin
  foreach template in array array[
    'create or replace trigger multiserver_insert after insert on {table} {referencing_new}
       for each {each} execute function multiserver.capture_insert_{id}()',
    'create or replace trigger multiserver_update after update on {table} {referencing_old_and_new}
       for each {each} execute function multiserver.capture_update_{id}()',
    'create or replace trigger multiserver_delete after delete on {table} {referencing_old}
       for each {each} execute function multiserver.capture_delete_{id}()',
    'create or replace trigger multiserver_truncate before truncate on {table}
       for each statement execute function multiserver.capture_truncate_{id}()']
  loop
    execute multiserver.render(template, variables);
  end loop;
end $$;
