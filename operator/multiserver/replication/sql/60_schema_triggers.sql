-- The event triggers that notice schema changes. A superuser's step: only a superuser may own event triggers.
--
-- The function runs as whoever changes the schema, so it can tell the engine's own statements, which are not the
-- application's: nobody else can be multiserver_engine. In apply workers event triggers do not fire.

create function multiserver.on_schema_change() returns event_trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if current_user <> 'multiserver_engine' then
    perform multiserver.capture_schema_change();
  end if;
end $$;
revoke execute on function multiserver.on_schema_change() from public;

create event trigger multiserver_schema_dropped on sql_drop execute function multiserver.on_schema_change();
create event trigger multiserver_schema_changed on ddl_command_end execute function multiserver.on_schema_change();
