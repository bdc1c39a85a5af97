-- Local tables: those whose rows stay at the site where they are written, because somebody said so.
--
-- Sessions, job queues and scratch tables are made at every site like all others, but each site has rows of its own in
-- them. They are named by patterns, <schema>.<table> with * for any characters, which the resource gives
-- (spec.schema.localTables). The patterns are told to every site; the schema site decides by them which tables are
-- replicated and says so in its next schema event, so all sites begin or end to replicate a table at the same point.

create table multiserver.local_tables (
  pattern text primary key
);
comment on table multiserver.local_tables is 'Which tables have rows of their own at each site: <schema>.<table>, * for any characters.';

create function multiserver.is_local(relation oid) returns boolean language sql stable
  return exists (
    select from multiserver.local_tables l, pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid = relation and n.nspname || '.' || c.relname like
      replace(replace(replace(replace(l.pattern, '\', '\\'), '_', '\_'), '%', '\%'), '*', '%'));

-- Take over the patterns of the resource. Tables that are no longer local get their rows from all sites: each sends its
-- own. Returns whether anything changed.
create function multiserver.declare_local_tables(patterns text[]) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  before constant text[] := array(select pattern from multiserver.local_tables order by pattern);
  was_local constant oid[] := array(select oid from pg_class where relkind in ('r', 'p') and multiserver.is_local(oid));
begin
  if before = array(select distinct p from unnest(patterns) p order by p) then
    return false;
  end if;
  delete from multiserver.local_tables;
  insert into multiserver.local_tables select distinct p from unnest(patterns) p;
  if multiserver.server_number() = multiserver.schema_site()
     and (select opened_at from multiserver.site_settings) is not null then
    perform multiserver.record_schema_change(array(
      select oid from pg_class c where relkind in ('r', 'p') and multiserver.is_application_schema(relnamespace)
        and relpersistence <> 't' and multiserver.is_local(oid) <> (oid = any (was_local))));
  end if;
  return true;
end $$;
