-- Statements for tables and their columns, constraints and indexes; the order of steps is in 16_object_statements.sql.
--
-- A table is made without columns; each column is a part of its own. Only a partitioned one needs them to be made.
--
-- A table that inherits, or is a partition, is made with all its columns and constraints first and given to its parents
-- then, so that its columns have the same order at all sites. From then on what is inherited comes from the parent's
-- statement (18_schema_difference.sql).

create function multiserver.change_table(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  is_unlogged constant boolean := part.facts ->> 'persistence' = 'u';
  options constant text := (select string_agg(o, ', ') from jsonb_array_elements_text(part.facts -> 'options') o);
begin
  if part.object is null then
    return query select 15, format('drop table %s', was.place);
  elsif was.object is null then
    return query select 35, concat('create ', case when is_unlogged then 'unlogged ' end, 'table ', part.place, ' (',
      (select string_agg(multiserver.column_definition(c), ', ' order by c.column_number) from multiserver.parts c
       where c.object = part.object and c.kind = 'column' and part.facts ->> 'partition_by' is not null), ')',
      ' partition by ' || (part.facts ->> 'partition_by'), ' with (' || options || ')');
  else
    return query select * from multiserver.change_place('table', was, part);
    return query select 35, format('alter table %s set %s', part.place,
                                   case when is_unlogged then 'unlogged' else 'logged' end)
      where was.facts -> 'persistence' <> part.facts -> 'persistence';
    return query select * from multiserver.change_options('table', was, part);
  end if;
  return query select * from multiserver.change_parents(was, part);
end $$;

create function multiserver.change_parents(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  before constant jsonb := coalesce(was.facts -> 'parents', '[]');
begin
  return query select 23, case when was.facts ->> 'bound' is null
      then format('alter table %s no inherit %s', part.place, multiserver.qualified_name(parent::oid))
      else format('alter table %s detach partition %s', multiserver.qualified_name(parent::oid), part.place) end
    from jsonb_array_elements_text(before) parent
    where part.object is not null and not part.facts -> 'parents' ? parent
      and multiserver.qualified_name(parent::oid) is not null;
  return query select 58, case when part.facts ->> 'bound' is null
      then format('alter table %s inherit %s', part.place, multiserver.qualified_name(parent::oid))
      else format('alter table %s attach partition %s %s', multiserver.qualified_name(parent::oid), part.place,
                  part.facts ->> 'bound') end
    from jsonb_array_elements_text(part.facts -> 'parents') with ordinality as p (parent, n)
    where not before ? parent order by n;
end $$;

create function multiserver.change_column(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if part.object is null then
    return query select case when was.facts @> '{"inherited": true}' then 15 else 14 end,
      format('alter table %s drop column if exists %I', was.place, was.name);
  elsif was.object is null then
    return query select * from multiserver.add_column(part);
  else
    return query select 21, format('alter table %s rename column %I to %I', part.place, was.name, part.name)
      where was.name <> part.name;
    return query select * from multiserver.change_type_and_default(was, part);
    return query select * from multiserver.change_generation(was, part);
    return query select * from multiserver.change_not_null(was, part);
  end if;
end $$;

create function multiserver.column_type(part multiserver.parts) returns text language sql immutable
  return concat(part.facts ->> 'type', ' collate ' || (part.facts ->> 'collation'));

create function multiserver.add_column(part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  facts constant jsonb := part.facts;
  is_drawn_per_row constant boolean := (facts ->> 'identity' is not null or facts ->> 'default' is not null)
    and not (select atthasmissing from pg_attribute where attrelid = part.object and attnum = part.column_number);
  is_new_table constant boolean :=
    not exists (select from multiserver.known_parts where object = part.object and kind = 'table');
begin
  if is_drawn_per_row and not is_new_table and multiserver.has_rows(part) then
    perform multiserver.refuse(
      format('%s.%I: a new column whose default gives each row another value', part.place, part.name),
      'Add the column without the default, set the default, and update the rows.');
  end if;
  return query select 38, format('alter table %s add column %s', part.place, multiserver.column_definition(part))
    where not (is_new_table and (select relkind = 'p' from pg_class where oid = part.object));
end $$;

create function multiserver.column_definition(part multiserver.parts) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  facts constant jsonb := part.facts;
begin
  return concat(
    format('%I %s', part.name, multiserver.column_type(part)),
    ' default ' || (facts ->> 'default'),
    ' generated always as (' || (facts ->> 'generated') || ') '
      || case facts ->> 'generated_when' when 's' then 'stored' else 'virtual' end,
    ' ' || multiserver.identity_clause(part),
    -- by name, since PostgreSQL wants the names of a parent and its children to be the same
    case when (facts ->> 'not_null')::boolean then format(' constraint %I not null', facts ->> 'not_null_name') end);
end $$;

create function multiserver.identity_kind(part multiserver.parts) returns text language sql immutable
  return case part.facts ->> 'identity' when 'a' then 'always' when 'd' then 'by default' end;

-- Null if the column is no identity.
create function multiserver.identity_clause(part multiserver.parts) returns text language sql stable
  return (select format('generated %s as identity (increment %s minvalue %s maxvalue %s start %s cache %s%s)',
            multiserver.identity_kind(part), seqincrement, seqmin, seqmax, seqstart, seqcache,
            case when seqcycle then ' cycle' else '' end)
          from pg_sequence
          where part.facts ->> 'identity' is not null
            and seqrelid = pg_get_serial_sequence(part.place, part.name)::regclass);

create function multiserver.change_type_and_default(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  this constant text := format('alter table %s alter column %I', part.place, part.name);
  old_default constant text := was.facts ->> 'default';
  new_default constant text := part.facts ->> 'default';
  other_type constant boolean := (was.facts ->> 'type_id', was.facts ->> 'collation')
                                 is distinct from (part.facts ->> 'type_id', part.facts ->> 'collation');
begin
  if other_type and not multiserver.is_widening(was.facts ->> 'type', part.facts ->> 'type')
     and (multiserver.has_rows(part) or multiserver.peers_may_have_rows(part.belongs_to)) then
    perform multiserver.refuse(
      format('%s.%I: the change from %s to %s on a table with rows', part.place, part.name,
             was.facts ->> 'type', part.facts ->> 'type'),
      'Add a column of the new type, fill it, and drop the old one.');
  end if;
  return query select 9, format('alter table only %s alter column %I drop default', was.place, was.name)
    where old_default is not null and (other_type or new_default is null);
  return query select 41, format('%s type %s using %I::text::%s', this, multiserver.column_type(part), part.name,
                                 part.facts ->> 'type')
    where other_type;
  return query select 42, format('alter table only %s alter column %I set default %s', part.place, part.name, new_default)
    where new_default is not null and (other_type or old_default is distinct from new_default);
end $$;

create function multiserver.change_generation(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  this constant text := format('alter table %s alter column %I', part.place, part.name);
  old_identity constant text := was.facts ->> 'identity';
  new_identity constant text := part.facts ->> 'identity';
begin
  if (was.facts -> 'generated_when', was.facts -> 'generated')
     <> (part.facts -> 'generated_when', part.facts -> 'generated') then
    if part.facts ->> 'generated' is not null then
      perform multiserver.refuse(format('%s.%I: a changed generation expression', part.place, part.name));
    end if;
    return query select 43, this || ' drop expression';
  end if;
  return query select 44, this || ' drop identity' where old_identity is not null and new_identity is null;
  return query select 46, format('%s add %s', this, multiserver.identity_clause(part))
    where old_identity is null and new_identity is not null;
  return query select 46, format('%s set generated %s', this, multiserver.identity_kind(part))
    where old_identity <> new_identity;
end $$;

create function multiserver.change_not_null(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  this constant text := format('alter table %s alter column %I', part.place, part.name);
begin
  if (part.facts ->> 'not_null')::boolean and not (was.facts ->> 'not_null')::boolean then
    -- A primary key's columns are NOT NULL; adding one must be possible, since a table without can do so little.
    if not exists (select from pg_index where indrelid = part.belongs_to and indisprimary
                   and part.column_number = any (indkey)) then
      perform multiserver.refuse_if_rows_may_contradict(part, format('NOT NULL for column %I', part.name));
    end if;
    return query select 45, format('alter table %s add constraint %I not null %I', part.place,
                                   part.facts ->> 'not_null_name', part.name);
  elsif (was.facts ->> 'not_null')::boolean and not (part.facts ->> 'not_null')::boolean then
    return query select 45, this || ' drop not null';
  else
    return query select 22, format('alter table %s rename constraint %I to %I', part.place,
                                   was.facts ->> 'not_null_name', part.facts ->> 'not_null_name')
      where was.facts ->> 'not_null_name' <> part.facts ->> 'not_null_name';
  end if;
end $$;

create function multiserver.change_constraint(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  kind constant text := coalesce(part.facts ->> 'type', was.facts ->> 'type');
begin
  if part.object is null then
    return query select case when was.facts @> '{"inherited": true}' then 13 when kind = 'f' then 10 else 12 end,
                        format('alter table %s drop constraint if exists %I', was.place, was.name);
    return;
  elsif was.object is null then
    return query select * from multiserver.add_constraint(part, kind);
    return;
  end if;
  return query select 22, format('alter table %s rename constraint %I to %I', part.place, was.name, part.name)
    where was.name <> part.name;
  if (was.facts ->> 'definition' ~ 'DEFERRABLE', was.facts ->> 'definition' ~ 'INITIALLY DEFERRED')
     <> (part.facts ->> 'definition' ~ 'DEFERRABLE', part.facts ->> 'definition' ~ 'INITIALLY DEFERRED') then
    perform multiserver.refuse(format('constraint %I on %s: changed deferrability', part.name, part.place),
      'Drop the constraint and add it anew.');
  elsif not (was.facts ->> 'validated')::boolean and (part.facts ->> 'validated')::boolean and kind <> 'f' then
    perform multiserver.refuse_if_rows_may_contradict(part, format('validation of constraint %I', part.name));
    return query select 56, format('alter table %s validate constraint %I', part.place, part.name);
  end if;
end $$;

-- Foreign keys: other sites may hold orphans that a merge has made, so there the rows that exist are not checked.
create function multiserver.add_constraint(part multiserver.parts, kind text)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  new_columns_only constant boolean := multiserver.concerns_new_columns_only(part);
begin
  if kind in ('u', 'c', 'x') and not new_columns_only then
    perform multiserver.refuse_if_rows_may_contradict(part, format('constraint %I', part.name));
  end if;
  return query select case kind when 'p' then 50 when 'u' then 51 when 'f' then 55 else 53 end,
    concat('alter table ', part.place, ' add constraint ', quote_ident(part.name), ' ', part.facts ->> 'definition',
      case when kind = 'f' and (part.facts ->> 'validated')::boolean and not new_columns_only
                and multiserver.may_have_rows(part.belongs_to) then ' not valid' end);
end $$;

create function multiserver.change_index(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if part.object is null then
    return query select case when was.facts @> '{"inherited": true}' then 14 else 13 end,
      format('drop index if exists %s.%I', was.facts ->> 'schema', was.name);
  elsif was.object is null then
    if (part.facts ->> 'unique')::boolean then
      perform multiserver.refuse_if_rows_may_contradict(part, format('unique index %I', part.name));
    end if;
    return query select (part.facts ->> 'step')::integer, part.facts ->> 'definition';
  else
    return query select 22, format('alter index %s.%I rename to %I', part.facts ->> 'schema', was.name, part.name)
      where was.name <> part.name;
  end if;
end $$;
