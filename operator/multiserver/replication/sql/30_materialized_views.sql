-- Materialized views: what is refreshed at one site is refreshed at all, by each site from its own rows.
--
-- When it is worth its time to refresh a view only the application knows. So REFRESH MATERIALIZED VIEW, at any site, is an
-- event of its transaction (19_schema_capture.sql). It comes to a peer after all rows that were committed before it at
-- that site, and there it is noted only: refreshing may take long, and a merge must not. The agent does it afterwards.
--
-- An event that a lost slot kept from a site is not repeated: the view is as old there as the refresh before it.

create table multiserver.refreshes (
  view text primary key,
  version bigint not null,
  next_try timestamptz not null default '-infinity',
  error text
);
grant insert, update, select on multiserver.refreshes to multiserver_apply;
comment on table multiserver.refreshes is 'Materialized views that were refreshed at a peer and are not here yet.';
comment on column multiserver.refreshes.version is 'Version of the newest event that asked for it.';
comment on column multiserver.refreshes.error is 'Why refreshing it failed the last time; null if it was not tried.';

-- Called while a statement's event trigger runs, as capture_schema_change is.
create function multiserver.capture_refresh() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  command record;
begin
  for command in select * from pg_event_trigger_ddl_commands() where command_tag = 'REFRESH MATERIALIZED VIEW' loop
    if multiserver.is_application_object(command.classid, command.objid) then
      perform multiserver.send_document('V', jsonb_build_object('view', command.object_identity));
    end if;
  end loop;
end $$;

create function multiserver.merge_refresh(version bigint, event jsonb) returns void language sql
begin atomic
  insert into multiserver.refreshes as r (view, version) values (event ->> 'view', version)
  on conflict (view) do update set version = excluded.version, next_try = '-infinity' where r.version < excluded.version;
end;

-- Can it be refreshed while others read it?
create function multiserver.is_refreshed_concurrently(view regclass) returns boolean language sql stable
  return (select relispopulated from pg_class where oid = view)
    and exists (select from pg_index where indrelid = view and indisunique and indimmediate and indisvalid
                and indpred is null and indexprs is null);

-- The agent's call, as superuser, until no view is named: refresh the one that waits longest. PostgreSQL itself lets the
-- view's query run as the view's owner. Nothing is locked meanwhile that a merge would wait for. A view that cannot be
-- refreshed is tried again after a minute; the others go on.
create function multiserver.refresh_next_view(out view text, out error text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  asked constant multiserver.refreshes := (
    select r from multiserver.refreshes r where r.next_try <= clock_timestamp() order by r.next_try, r.version limit 1);
  relation constant regclass := to_regclass(asked.view);
begin
  view := asked.view;
  -- A replica's: so that event triggers do not capture it once more.
  perform set_config('session_replication_role', 'replica', true), set_config('lock_timeout', '2s', true);
  if (select relkind = 'm' from pg_class where oid = relation) then
    execute format('refresh materialized view %s %s',
                   case when multiserver.is_refreshed_concurrently(relation) then 'concurrently' end, relation);
  end if;
  delete from multiserver.refreshes r where (r.view, r.version) = (asked.view, asked.version);
exception when others then
  error := sqlerrm;
  update multiserver.refreshes r set error = sqlerrm, next_try = clock_timestamp() + interval '1 minute'
    where (r.view, r.version) = (asked.view, asked.version);
end $$;
