-- Which site this is, and which sites there are.
--
-- The server number is part of every version this site writes, so it is given once and never changes.
--
-- The incarnation names one unbroken history of this site's write-ahead log. Positions in the log (of slots, of what a
-- peer has) mean something only together with it. A site gets a new one when it is copied from a donor or found to be
-- older than its peers know it (24_broken_history.sql).

create table multiserver.site_settings (
  one boolean primary key default true check (one),
  server_number integer not null check (server_number between 1 and 1023),
  schema_site integer not null,
  system_identifier bigint not null,
  incarnation uuid not null default gen_random_uuid(),
  opened_at timestamptz,
  closed_at timestamptz,
  closed_lsn pg_lsn,
  known_promise bigint,
  check (opened_at is null or (closed_at is null and closed_lsn is null))
);
comment on table multiserver.site_settings is
  'One row: this site. schema_site is the server number of the site where the schema may be changed.';
comment on column multiserver.site_settings.opened_at is 'Since when the application may write; null while it may not.';
comment on column multiserver.site_settings.closed_at is 'Since when an opened site is closed again.';
comment on column multiserver.site_settings.closed_lsn is
  'All that the application wrote before the closing lies before this position; null while a session of its may write.';

comment on column multiserver.site_settings.known_promise is
  'Up to which version peers were told that none is written here any more, if this database did not know it itself '
  '(24_broken_history.sql).';

create table multiserver.sites (
  server_number integer primary key check (server_number between 1 and 1023),
  name text not null unique
);
comment on table multiserver.sites is 'All sites of the cluster, this one too.';

create function multiserver.server_number() returns integer language sql stable
  return (select server_number from multiserver.site_settings);

create function multiserver.incarnation() returns uuid language sql stable
  return (select incarnation from multiserver.site_settings);

create function multiserver.schema_site() returns integer language sql stable
  return (select schema_site from multiserver.site_settings);

create function multiserver.site_name(number integer) returns text language sql stable
  return coalesce((select name from multiserver.sites where server_number = number), 'number ' || number);

-- Tell the database what the resource says. Repeating it changes nothing; returns whether anything was new.
create function multiserver.configure_site(own_number integer, schema_site_number integer, names jsonb)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  is_new constant boolean := multiserver.server_number() is null;
  before text := (select row(s.*)::text from multiserver.site_settings s)
                 || (select jsonb_object_agg(server_number, name)::text from multiserver.sites);
begin
  if own_number is distinct from coalesce(multiserver.server_number(), own_number) then
    raise exception using errcode = 'MS021',
      message = format('this database is site %s and cannot become site %s', multiserver.server_number(), own_number),
      hint = 'A server number is given once. Let the site join as a new one, with an empty volume.';
  end if;
  insert into multiserver.site_settings as s (server_number, schema_site, system_identifier)
    select own_number, schema_site_number, system_identifier from pg_control_system()
    on conflict (one) do update set schema_site = excluded.schema_site
    where s.schema_site <> excluded.schema_site;
  if is_new then
    perform multiserver.generate_all();  -- the capture functions of a copied database write its donor's number
  end if;
  delete from multiserver.sites where not names ? server_number::text;
  insert into multiserver.sites as s select key::integer, value from jsonb_each_text(names)
    on conflict (server_number) do update set name = excluded.name where s.name <> excluded.name;
  -- Making triggers must not hold up the application: rather give up and be called again.
  perform set_config('lock_timeout', '2s', true), set_config('deadlock_timeout', '50ms', true);
  perform multiserver.follow_membership();
  return before is distinct from
    (select row(s.*)::text from multiserver.site_settings s)
    || (select jsonb_object_agg(server_number, name)::text from multiserver.sites);
end $$;
