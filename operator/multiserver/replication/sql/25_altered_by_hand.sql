-- Tables whose columns at one site are not those of their layout, since somebody has altered them there past the engine
-- (event triggers off).
--
-- A row image is a list of values in the order of the layout's columns, so between such a site and the others a value could
-- land in another column, or be lost. Invariant: no site writes or stores an image while its table has other columns.
-- Merged rows are parked with the reason (10_parked_rows.sql), and are stored once the columns fit again. Local writes are
-- refused (MS013): they would take from all other sites what this one does not have. Other tables go on.

-- How the columns that a table has at this site differ from those that it should have, as a sentence with the way out.
create function multiserver.columns_in_words(table_name text, wanted text[], present text[]) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  site constant text := multiserver.site_name(multiserver.server_number());
  schema_site constant text := multiserver.site_name(multiserver.schema_site());
  missing constant text := (select quote_ident(min(x)) from (select unnest(wanted) except select unnest(present)) m (x));
  surplus constant text := (select quote_ident(min(x)) from (select unnest(present) except select unnest(wanted)) m (x));
begin
  return case
    when missing is not null and site = schema_site then
      format('column %s was dropped at site %s with event triggers off: add it there in the same way.', missing, site)
    when missing is not null then
      format('column %s is missing at site %s: migrated at site %s only?', missing, site, schema_site)
    when surplus is not null and site = schema_site then
      format('column %s was added at site %s with event triggers off: drop it there in the same way.', surplus, site)
    when surplus is not null then
      format('column %s is at site %s only: drop it there.', surplus, site)
    else
      format('the columns at site %s are in another order (%s) than at the other sites (%s).', site,
             array_to_string(present, ', '), array_to_string(wanted, ', '))
    end || format(' Replication of table %s waits; other tables go on', table_name);
end $$;

create view multiserver.tables_altered_by_hand as
  select table_id, name, multiserver.columns_in_words(name, wanted, present) as reason
  from (select t.table_id, t.name, l.column_names as wanted,
          array(select a.attname::text from pg_attribute a
                where a.attrelid = t.relation and a.attnum > 0 and not a.attisdropped order by a.attnum) as present
        from multiserver.tables t join multiserver.layouts l using (table_id, layout) where t.relation is not null) columns
  where wanted <> present;
comment on view multiserver.tables_altered_by_hand is 'Tables whose columns here are not those that their rows come with.';

create function multiserver.other_columns(p_table_id integer) returns text language sql stable
  return (select reason from multiserver.tables_altered_by_hand where table_id = p_table_id);

-- True if the table has the columns that a generated function was written for; if not, an error (MS013) with the reason.
--
-- It is called immutable though it is not: so PostgreSQL calls it when it plans, and plans anew whenever somebody alters the
-- table, since the plan names it (regclass). A row that is written costs nothing. And it does not read the catalogues
-- itself, which a transaction with an old snapshot would see as they were, but asks what PostgreSQL takes the row type for.
create function multiserver.columns_fit(relation regclass, wanted text[]) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  present text[];
begin
  execute format('select array(select json_object_keys(to_json(x.*)) from (select (null::%s).*) x)', relation) into present;
  if present <> wanted then
    raise exception using errcode = 'MS013',
      message = multiserver.columns_in_words(multiserver.qualified_name(relation), wanted, present);
  end if;
  return true;
end $$;

-- Nothing can be written for a table whose key has columns that its layout does not: it has been renamed by hand.
create function multiserver.refuse_other_key(p_table_id integer) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from multiserver.tables t join pg_index i on i.indrelid = t.relation and i.indisprimary
             cross join unnest(i.indkey::int2[]) as key (number)
             where t.table_id = p_table_id and not exists (
               select from multiserver.layout_columns c where c.table_id = p_table_id and c.number = key.number)) then
    raise exception using errcode = 'MS013', message = multiserver.other_columns(p_table_id);
  end if;
end $$;

-- Must a row that failed with this error wait until the error has passed, and its link with it? If not, it is parked.
create function multiserver.must_wait(sqlstate text, p_table_id integer) returns boolean language sql stable
  return not multiserver.is_row_fault(sqlstate) and multiserver.other_columns(p_table_id) is null;
