-- Opening a site to the application, closing it, and making a copy of a donor's database a site of its own.
--
-- These steps are for superusers: they end the application's sessions, and alter its role.

create function multiserver.set_owner_login(allowed boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  execute format('alter role %I %s', (select pg_get_userbyid(datdba) from pg_database where datname = current_database()),
                 case when allowed then 'login' else 'nologin' end);
end $$;

-- Let the application in. A schema that was there before the site opened for the first time is taken over, and a site
-- whose history broke goes on behind all numbers and versions that it may have given. Returns whether it was closed in
-- any way.
create function multiserver.open_site() returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if (select opened_at from multiserver.site_settings) is not null then
    if (select rolcanlogin from pg_roles r join pg_database d on d.datdba = r.oid where datname = current_database()) then
      return false;
    end if;
    perform multiserver.set_owner_login(true);
    return true;
  end if;
  if exists (select from multiserver.broken_history) then
    perform multiserver.continue_numbers();
    perform multiserver.continue_versions();
  end if;
  if multiserver.server_number() = multiserver.schema_site() then
    if exists (select from multiserver.broken_history where how = 'copied') then
      perform multiserver.adopt_schema();
    else
      perform multiserver.record_schema_change(array(select distinct belongs_to from multiserver.parts), false);
    end if;
  end if;
  -- What peers forget from now on has come here before: no later comparison is in vain.
  update multiserver.broken_history set complete_until = null;
  update multiserver.site_settings set opened_at = clock_timestamp(), closed_at = null, closed_lsn = null;
  perform multiserver.set_owner_login(true);
  return true;
end $$;

-- Keep the application out from now on; its sessions are still to be ended (note_closed). Returns whether it was open.
create function multiserver.close_site() returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform multiserver.set_owner_login(false);
  update multiserver.site_settings set opened_at = null, closed_at = clock_timestamp() where opened_at is not null;
  return found;
end $$;

-- End the sessions of the application. Once none is left, all it wrote lies before the present end of the log, and that
-- position is noted. Returns how many sessions are left.
create function multiserver.end_sessions() returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  owner constant oid := (select datdba from pg_database where datname = current_database());
  remaining integer;
begin
  if (select opened_at from multiserver.site_settings) is not null then
    return 0;
  end if;
  perform pg_terminate_backend(pid, 2000) from pg_stat_activity where usesysid = owner and pid <> pg_backend_pid();
  perform pg_stat_clear_snapshot();
  select count(*) into remaining from pg_stat_activity where usesysid = owner and pid <> pg_backend_pid();
  if remaining = 0 then
    update multiserver.site_settings set closed_lsn = pg_current_wal_insert_lsn()
      where closed_at is not null and closed_lsn is null;
  end if;
  return remaining;
end $$;

-- Drop all subscriptions with their origins, without a word to the peers: their slots are another site's.
create function multiserver.drop_subscriptions() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  name text;
begin
  for name in select subname from pg_subscription
              where subdbid = (select oid from pg_database where datname = current_database()) loop
    execute format('alter subscription %I disable', name);
    execute format('alter subscription %I set (slot_name = none)', name);
    execute format('drop subscription %I', name);
  end loop;
  perform pg_replication_origin_drop(roname) from pg_replication_origin;
end $$;

-- What a site has in its local tables is its own (25_local_tables.sql), so a copy begins without it. As when merging, no
-- trigger or foreign key of the application acts on it.
create function multiserver.empty_local_tables() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  local_table regclass;
begin
  perform set_config('session_replication_role', 'replica', true);
  for local_table in select oid from pg_class where relkind = 'r' and multiserver.is_local(oid) loop
    execute format('delete from only %s', local_table);
  end loop;
  perform set_config('session_replication_role', 'origin', true);
end $$;

-- Turn a copy of a donor's database into a new site's that has no number yet: it keeps all rows, registers and parked
-- rows, and nothing by which it could be taken for its donor. The next configure_site begins a new incarnation. Returns
-- false if that was done already. Never call it at a site that is in use: it would become a stranger to its peers.
create function multiserver.become_copy() returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  donor constant integer := multiserver.server_number();
begin
  if donor is null then
    return false;
  elsif exists (select from pg_stat_replication) or exists (select from pg_stat_subscription where pid is not null) then
    raise exception using errcode = 'MS022',
      message = format('this server replicates as site %s and cannot become a copy of it', multiserver.site_name(donor)),
      hint = 'Start the copy with max_logical_replication_workers = 0 and no listen_addresses.';
  end if;
  perform multiserver.set_owner_login(false);
  perform multiserver.drop_subscriptions();
  perform pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database();
  truncate multiserver.journal;
  perform multiserver.empty_local_tables();
  delete from multiserver.links;
  delete from multiserver.slots;
  delete from multiserver.gaps;
  delete from multiserver.runs;
  delete from multiserver.heartbeats;
  perform multiserver.release_number_ranges();
  insert into multiserver.broken_history (how, donor_number) values ('copied', donor)
    on conflict (one) do update set how = excluded.how, broken_at = excluded.broken_at, donor_number = donor,
      complete_until = null;
  delete from multiserver.site_settings;
  return true;
end $$;
