-- Tables that cannot be replicated, and why: each reason is a sentence with the name and the way out.
--
-- The way out that always remains is to declare the table local (25_local_tables.sql).

-- What could become the primary key of a table that has none: the statement, complete if the table offers a key.
create function multiserver.suggested_key(relation oid) returns text language sql stable
  return format('ALTER TABLE %s ADD PRIMARY KEY %s', multiserver.qualified_name(relation), coalesce(
    (select case when exists (select from pg_constraint k where k.conindid = i.indexrelid)
              then format('(%s)', (select string_agg(quote_ident(a.attname), ', ' order by o.n)
                                   from unnest(i.indkey::int2[]) with ordinality as o (attnum, n)
                                   join pg_attribute a on a.attrelid = relation and a.attnum = o.attnum))
              else format('USING INDEX %I', x.relname) end
     from pg_index i join pg_class x on x.oid = i.indexrelid
     where i.indrelid = relation and i.indisunique and i.indimmediate and i.indpred is null and i.indexprs is null
       and not exists (select from pg_attribute a where a.attrelid = relation and a.attnum = any (i.indkey)
                       and not a.attnotnull)
     order by i.indnatts, x.relname limit 1),
    (select format('(%I)', a.attname)  -- a column that is numbered, or is called as keys are
     from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where a.attrelid = relation and a.attnum > 0 and not a.attisdropped
       and (a.attidentity <> '' or pg_get_expr(d.adbin, d.adrelid) ~ 'nextval|uuid'
            or a.attname in ('id', 'pk', 'uuid'))
     order by a.attnum limit 1),
    '(...)'));

create function multiserver.is_without_key(relation oid) returns boolean language sql stable
  return not exists (select from pg_index where indrelid = relation and indisprimary);

create function multiserver.no_key_message(relation oid) returns text language sql stable
  return format('table %s has no primary key: add one (%s), or exclude it', multiserver.qualified_name(relation),
                multiserver.suggested_key(relation));

-- An EXCLUDE constraint all of whose operators are equality is a unique rule under another name.
create function multiserver.excludes_equal_only(constraint_oid oid) returns boolean language sql stable
  return not exists (
    select from pg_constraint k, unnest(k.conexclop) o
    where k.oid = constraint_oid
      and not exists (select from pg_amop a join pg_am m on m.oid = a.amopmethod
                      where a.amopopr = o and m.amname = 'btree' and a.amopstrategy = 3));

-- Why a table's rows do not travel, as a sentence with the way out; null if they can.
create function multiserver.reason_not_replicated(relation oid) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  t pg_class := (select c from pg_class c where c.oid = relation);
  name constant text := multiserver.qualified_name(relation);
  k record;
begin
  if t.relpersistence = 'u' then
    return format('table %s is UNLOGGED: ALTER TABLE %1$s SET LOGGED, or exclude it', name);
  elsif t.relkind = 'f' then
    return format('table %s is a foreign table: each site needs it for itself; exclude it', name);
  end if;
  -- Replaced by one statement: between two of them the table would begin to be replicated, and a rule could be refused
  -- because of its rows (15_schema_refusals.sql).
  select case contype when 'p' then 'primary key' when 'u' then 'unique constraint' else 'EXCLUDE constraint' end as kind,
      quote_ident(conname) as conname,
      regexp_replace(pg_get_constraintdef(oid), ' DEFERRABLE( INITIALLY DEFERRED)?$', '') as definition into k
    from pg_constraint where conrelid = relation and contype in ('p', 'u', 'x') and condeferrable limit 1;
  if found then
    return format('%s %s of table %s is DEFERRABLE: replace it (ALTER TABLE %3$s DROP CONSTRAINT %2$s, ADD CONSTRAINT %2$s '
                  '%4$s), or exclude the table', k.kind, k.conname, name, k.definition);
  end if;
  select c.conname, o.oprname into k
    from pg_constraint c cross join unnest(c.conexclop) x join pg_operator o on o.oid = x
    where c.conrelid = relation and c.contype = 'x' and not multiserver.excludes_equal_only(c.oid)
      and o.oprname <> '=' limit 1;
  if found then
    return format('EXCLUDE with operator %s is not supported: drop constraint %I of table %s or use a trigger, '
                  'or exclude the table', k.oprname, k.conname, name);
  elsif multiserver.is_without_key(relation)
        and exists (select from pg_index where indrelid = relation and (indisunique or indisexclusion)) then
    return multiserver.no_key_message(relation);
  elsif not pg_has_role('multiserver_engine', t.relowner, 'USAGE') then
    return format('table %s belongs to %s: ALTER TABLE %1$s OWNER TO %s', name, pg_get_userbyid(t.relowner),
                  (select pg_get_userbyid(datdba) from pg_database where datname = current_database()));
  end if;
  return null;
end $$;

-- Columns that hold large objects, whose content no trigger sees. A column of type oid may as well hold a tableoid, so
-- it counts only if a rule of contrib's lo is on it or the newest rows have OIDs of large objects in it.
create function multiserver.large_object_columns() returns table (name text, reason text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  c record;
  is_one boolean;
begin
  if not exists (select from pg_largeobject_metadata) then
    return;
  end if;
  for c in select t.name as table_name, a.attname, y.typname, a.attrelid,
             exists (select from pg_trigger g join pg_proc p on p.oid = g.tgfoid
                     where g.tgrelid = a.attrelid and p.proname = 'lo_manage') as is_managed
           from multiserver.tables t join pg_attribute a on a.attrelid = t.relation and a.attnum > 0
             and not a.attisdropped join pg_type y on y.oid = a.atttypid
           where a.atttypid = 'oid'::regtype or (y.typname = 'lo' and y.typbasetype = 'oid'::regtype) loop
    is_one := c.is_managed or c.typname = 'lo';
    if not is_one then
      execute format('select exists (select from (select %I::oid as o from only %s order by ctid desc limit 1000) x
                      join pg_largeobject_metadata m on m.oid = x.o)', c.attname, c.table_name) into is_one;
    end if;
    if is_one then
      name := c.table_name;
      reason := format('column %s.%I (oid) holds large objects; their content is not replicated: use bytea or exclude',
                       regexp_replace(c.table_name, '^public\.', ''), c.attname);
      return next;
    end if;
  end loop;
end $$;

create view multiserver.unreplicated_tables as
  select multiserver.qualified_name(c.oid) as name, multiserver.reason_not_replicated(c.oid) as reason
  from pg_class c
  where c.relkind in ('r', 'f') and c.relpersistence <> 't' and multiserver.is_application_schema(c.relnamespace)
    and not multiserver.is_local(c.oid)
    and not exists (select from multiserver.tables t where t.relation = c.oid)
  union all
  select name, reason from multiserver.large_object_columns()
  union all
  select name, reason from multiserver.tables_altered_by_hand;
comment on view multiserver.unreplicated_tables is 'Tables whose rows, or part of them, stay at this site, and why.';
