-- What a schema change must not do, refused before it commits, so that the schema never differs silently.
--
--   MS010  It cannot be described, so it could not reach the other sites.
--   MS004  Rows at other sites, or under way from them, could contradict it (NOT NULL, CHECK, UNIQUE on a table with
--          rows): there the statement or the row would fail, and the link would stand still.
--   MS012  It depends on all rows of a table, and the transaction may not see them.

create function multiserver.refuse(what text, hint text default null) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception using errcode = 'MS010', message = what || ' cannot be replicated to the other sites',
    hint = coalesce(hint, 'A superuser can run it at every site himself, after SET event_triggers = off.');
end $$;

-- What a part has that no function above describes; refused if it is new or has changed.
create function multiserver.refuse_undescribed(was multiserver.known_parts, part multiserver.parts) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  changed text := (
    select string_agg(key, ', ' order by key)
    from jsonb_each_text(part.facts -> 'undescribed') now
    left join jsonb_each_text(was.facts -> 'undescribed') before using (key)
    where coalesce(now.value, 'false') <> coalesce(before.value, 'false'));
begin
  if was.object is not null and was.owner <> part.owner then
    changed := concat_ws(', ', 'owner', changed);
  end if;
  if changed is not null then
    perform multiserver.refuse(format('%s %s (%s)', part.kind,
      part.place || case when part.kind in ('column', 'constraint', 'index', 'trigger', 'rule') then '.' || quote_ident(part.name)
                         else '' end,
      changed));
  end if;
end $$;

-- What a snapshot that may be old does not show is judged by the size of the table: none has rows that has no bytes.
create function multiserver.has_rows(part multiserver.parts) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  found_one boolean;
begin
  if multiserver.snapshot_may_be_old() then
    return pg_relation_size(part.belongs_to) > 0;
  end if;
  execute format('select exists (select from only %s)', part.place) into found_one;
  return found_one;
end $$;

create function multiserver.was_made_now(relation oid) returns boolean language sql stable
  return exists (select from multiserver.known_parts k where k.object = relation and k.kind = 'table'
                 and k.born = pg_current_xact_id_if_assigned());

-- May a peer hold rows of the table? Not if it was made in this transaction, is not replicated, or never had a row.
create function multiserver.may_have_rows(p_relation oid) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  t multiserver.tables := (select x from multiserver.tables x where x.relation = p_relation);
  register constant regclass := to_regclass(format('multiserver.register_%s', t.table_id));
  found_one boolean;
begin
  if t is null or multiserver.was_made_now(p_relation) then
    return false;
  elsif multiserver.snapshot_may_be_old() then
    return pg_relation_size(p_relation) + pg_relation_size(coalesce(register, 'multiserver.appended')) > 0;
  end if;
  execute format('select exists (select from only %s) or exists (select from %s)', multiserver.qualified_name(p_relation),
    case when register is null then format('multiserver.appended where table_id = %s', t.table_id)
         else register::text end) into found_one;
  return found_one;
end $$;

-- A table that begins to be replicated, or gets its key, sends the rows that it has: all of them.
create function multiserver.refuse_if_rows_may_be_hidden(relation oid) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if multiserver.snapshot_may_be_old() and pg_relation_size(relation) > 0 and not multiserver.was_made_now(relation) then
    raise exception using errcode = 'MS012',
      message = format('the rows of table %s are to be sent to the other sites, in a %s transaction, which may not see all '
                       'rows', multiserver.qualified_name(relation), upper(current_setting('transaction_isolation'))),
      hint = 'Change the table in a READ COMMITTED transaction.';
  end if;
end $$;

-- Might there be rows at other sites, or under way from them?
create function multiserver.peers_may_have_rows(relation oid) returns boolean language sql stable
  return (select count(*) from multiserver.sites) > 1 and multiserver.may_have_rows(relation);

-- Refuse a change that rows at other sites, or under way from them, could contradict.
create function multiserver.refuse_if_rows_may_contradict(part multiserver.parts, change text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if multiserver.peers_may_have_rows(part.belongs_to) then
    raise exception using errcode = 'MS004',
      message = format('%s on %s, which has rows: rows on their way from other sites could contradict it',
                       change, part.place),
      hint = 'Make it while the table is empty, in the transaction that makes the table, or, as a constraint, in the very '
             'statement that adds the column.';
  end if;
end $$;

-- Rows that exist have the same default everywhere in a new column, so nothing under way can contradict.
create function multiserver.concerns_new_columns_only(part multiserver.parts) returns boolean language sql stable
  return not exists (
    select from jsonb_array_elements_text(part.facts -> 'columns') c
    join multiserver.known_parts k on k.object = part.belongs_to and k.kind = 'column' and k.column_number = c::integer);

-- Can every value of the old type be read as the new type from its text, to the same meaning?
create function multiserver.is_widening(old_type text, new_type text) returns boolean
language sql immutable
  return (old_type, new_type) in (('smallint', 'integer'), ('smallint', 'bigint'), ('integer', 'bigint'),
      ('smallint', 'numeric'), ('integer', 'numeric'), ('bigint', 'numeric'), ('real', 'double precision'),
      ('date', 'timestamp without time zone'),
      ('json', 'jsonb'), ('character varying', 'text'), ('text', 'character varying'))
    or (old_type ~ '^character varying\(\d+\)$' and new_type in ('text', 'character varying'))
    or (old_type ~ '^character varying\(\d+\)$' and new_type ~ '^character varying\(\d+\)$'
        and substring(old_type from '\d+')::integer <= substring(new_type from '\d+')::integer)
    or (old_type ~ '^numeric\(' and new_type = 'numeric');
