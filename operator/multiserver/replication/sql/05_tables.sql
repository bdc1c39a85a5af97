-- Replicated tables and their layouts.
--
-- A table is known by a number that the schema site gave it and that is the same at all sites, so events need neither
-- names, which may change, nor OIDs, which differ. A dropped table keeps its row here: events for it may still be under
-- way and must be told apart from events for a table whose creation is.
--
-- A layout is the ordered list of columns that row images of the table were written with. It is named by the schema
-- version that made it. Columns have numbers of their own, so that a renamed column is still the same column.

create table multiserver.schema_state (
  one boolean primary key default true check (one),
  version bigint not null
);
comment on table multiserver.schema_state is 'The last schema event that was written (at the schema site) or merged.';
insert into multiserver.schema_state (version) values (0);

create table multiserver.tables (
  table_id integer primary key check (table_id > 0),
  name text not null,
  relation oid unique,
  layout bigint not null,
  unsent_rows boolean not null default false
);
comment on column multiserver.tables.name is 'Schema-qualified and quoted.';
comment on column multiserver.tables.relation is 'OID of the table at this site; null once it is dropped.';
comment on column multiserver.tables.layout is 'Layout of the row images that this site writes now.';
comment on column multiserver.tables.unsent_rows is
  'The table got rows here before it was replicated; the next heartbeat sends them.';

create table multiserver.layouts (
  table_id integer references multiserver.tables,
  layout bigint,
  column_ids integer[] not null,
  column_names text[] not null,
  missing_values text[] not null,
  primary key (table_id, layout)
);
comment on column multiserver.layouts.missing_values is
  'For each column the value that rows have which were written before the column existed.';

-- The columns of each table's present layout, as they are at this site. What merges and captures is written from them, not
-- from the table: should somebody alter it by hand (25_altered_by_hand.sql), images have the layout's columns all the same.
create view multiserver.layout_columns as
  select t.table_id, c.position::integer, c.name, a.attnum as number, a.atttypid as type, a.atttypmod as modifier,
    a.attcollation as collation, coalesce(a.attidentity, '') as identity, coalesce(a.attgenerated, '') as generated
  from multiserver.tables t join multiserver.layouts l using (table_id, layout)
  cross join unnest(l.column_names) with ordinality as c (name, position)
  left join pg_attribute a on a.attrelid = t.relation and a.attname = c.name and a.attnum > 0 and not a.attisdropped;

create function multiserver.qualified_name(relation oid) returns text
language sql stable
  return (select format('%I.%I', n.nspname, c.relname)
          from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = relation);

-- Schemas of the application: all but PostgreSQL's and this one.
create function multiserver.is_application_schema(namespace oid) returns boolean
language sql stable
  return (select nspname !~ '^pg_' and nspname not in ('information_schema', 'multiserver')
          from pg_namespace where oid = namespace);

-- Row images are read column by column through a row type of text columns f1, f2, ...; one type per number of columns.
create function multiserver.ensure_fields_type(columns integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if to_regtype(format('multiserver.fields_%s', columns)) is null then
    execute format('create type multiserver.fields_%s as (%s)', columns,
                   (select string_agg(format('f%s text', n), ', ' order by n) from generate_series(1, columns) n));
  end if;
end $$;
