-- Links between sites, and what may break them: a lost slot, a lost volume, a rewound site, a site that leaves.
--
-- A link from P to N is complete if N has everything that P ever had to send. The stream alone keeps it so, from the
-- moment when P's slot for N was made, as long as neither site's history breaks. Everything else is found by comparing
-- facts, never by remembering a phase:
--   * A slot's birth names the slot from its making to its loss. P makes the slot first and the birth second: a birth
--     vouches for a slot that keeps all that was written since, and a slot without one is made anew.
--   * N notes the birth up to which it is known to be complete. If P's slot has another one, N lacks what fell between:
--     its agent pulls the difference from P, then notes the birth.
--   * N notes for which incarnation of P its subscription was made. If P has another one, the position that N's
--     replication origin remembers is a place in a log that is gone, and everything written before it would silently be
--     skipped: the subscription is made anew. Nor can it reach the slot of another incarnation: that has another name.
--   * A link is in doubt when an end's history broke: a peer's new incarnation, or a site that left, may have sent its
--     last changes to some sites only, so each survivor then compares itself with each other once.
--   * A site that crashed doubts all its links: it may have lost what its peers keep no longer. What comes from peers is
--     committed asynchronously. An apply worker confirms no more than has reached the disk, but one that follows upon
--     another, after a cut or an error, knows nothing of its predecessor's commits, and confirms them at once.
--
-- Invariant: N notes a birth only after a pull from P that began when the slot was there, P received from nobody whom N
-- has forgotten already, and no later doubt has come up.

create table multiserver.links (
  peer_number integer primary key,
  peer_incarnation uuid,
  slot_birth uuid,
  doubted_at timestamptz
);
comment on table multiserver.links is 'What this site, as the receiver, knows of the link from each peer.';
comment on column multiserver.links.peer_incarnation is 'The incarnation of the peer that the subscription was made for.';
comment on column multiserver.links.slot_birth is
  'The birth of the peer''s slot for this site up to which everything has been received; null if not known.';
comment on column multiserver.links.doubted_at is 'Since when a comparison is due whatever the births say.';

create table multiserver.slots (
  peer_number integer primary key,
  birth uuid not null default gen_random_uuid(),
  made_at timestamptz not null default clock_timestamp(),
  from_start boolean not null
);
comment on table multiserver.slots is 'The births of this site''s slots for its peers.';
comment on column multiserver.slots.from_start is
  'The slot was made before this site opened for the first time, so the peer can lack nothing from before.';

-- What a site of this incarnation calls its slot for a peer. Each incarnation has slots of its own: the worker of a peer
-- that still follows an earlier one finds none. To a slot of this incarnation it would confirm the position in the log
-- that is gone, and all that this one writes before that position would silently never be sent.
create function multiserver.slot_name(peer integer, incarnation uuid) returns text language sql immutable
  return format('multiserver_%s_%s', peer, left(incarnation::text, 8));

create view multiserver.peer_slots as
  select (regexp_match(p.slot_name, '^multiserver_([0-9]+)_'))[1]::integer as peer_number, p.slot_name, p.active,
    p.wal_status, p.inactive_since, p.restart_lsn, p.confirmed_flush_lsn, p.safe_wal_size
  from pg_replication_slots p
  where p.database = current_database()
    and p.slot_name ~ format('^multiserver_[0-9]+_%s$', left(multiserver.incarnation()::text, 8));
comment on view multiserver.peer_slots is 'The slots of this incarnation, by peer.';

create table multiserver.broken_history (
  one boolean primary key default true check (one),
  how text not null check (how in ('copied', 'rewound')),
  broken_at timestamptz not null default clock_timestamp(),
  donor_number integer,
  complete_until bigint,
  system_identifier bigint not null default (pg_control_system()).system_identifier
);
comment on table multiserver.broken_history is
  'Why this database does not continue what peers knew of this site: copied from a donor, or older than they knew it.';
comment on column multiserver.broken_history.complete_until is
  'If it was older: the version up to which it has all events of all sites. Null once it is open: then it has all.';
comment on column multiserver.broken_history.system_identifier is
  'The identifier of the database when that was found out.';

-- Must the log of this site begin anew, under another system identifier? A log that goes on from an earlier time gives
-- names to its files that the archive of the site's backups has already, with other content (prepare/rewound.py).
create function multiserver.log_must_begin_anew() returns boolean language sql stable
begin atomic
  select exists (select from multiserver.broken_history h, pg_control_system() c
                 where h.how = 'rewound' and h.system_identifier = c.system_identifier);
end;

create table multiserver.runs (
  started_at timestamptz primary key,
  began_lsn pg_lsn not null,
  complete_until bigint not null,
  is_vouched_for boolean not null default false,
  statistics_since timestamptz not null
);
comment on table multiserver.runs is
  'Each start of the server in this incarnation, and a position in the log that lies behind all of the run before.';
comment on column multiserver.runs.complete_until is
  'The version up to which the database that this run began with has all events of all sites.';
comment on column multiserver.runs.is_vouched_for is 'A peer was asked in it, and knows no later state of this site.';
comment on column multiserver.runs.statistics_since is
  'Since when the server has statistics. They outlive an orderly stop; recovery from a crash begins them anew.';

-- The run that was noted last; no row if none was.
create function multiserver.latest_run() returns setof multiserver.runs language sql stable
begin atomic
  select * from multiserver.runs order by began_lsn desc limit 1;
end;

-- The version up to which this database has all events of all sites, as far as its peers' heartbeats tell.
create function multiserver.complete_until() returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return least(coalesce(pg_sequence_last_value('multiserver.promised_horizon'), 0),
    (select min(coalesce(multiserver.received_horizon(multiserver.server_number(), server_number), 0))
     from multiserver.sites where server_number <> multiserver.server_number()));
end $$;

-- The present run of the server, by the time of its start. Heartbeats carry it, so that a peer can tell a site that was
-- put back in time: every such turn goes with a start, and the peer knows of a run that this site has forgotten, or
-- knows it to have gone on for longer.
--
-- Invariant: a run is noted before a heartbeat that comes in it tells us anything, and so is a crash, which the run may
-- outlast. If the database was put back, peers' slots skip what they had sent to the later one, and the heartbeats that
-- follow would vouch for all of that. Until a peer has vouched for a run, no more counts as received than at its start.
create function multiserver.current_run() returns timestamptz
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  this_run constant timestamptz := pg_postmaster_start_time();
  present_statistics constant timestamptz := (select stats_reset from pg_stat_wal);
  known_statistics constant timestamptz := (select statistics_since from multiserver.latest_run());
begin
  if not exists (select from multiserver.runs where started_at = this_run) then
    -- Recovery, or the stop before, ended with a checkpoint, which lies nearer to the beginning than what we see now.
    insert into multiserver.runs (started_at, began_lsn, complete_until, statistics_since)
      select this_run, least(pg_current_wal_insert_lsn(), redo_lsn), multiserver.complete_until(), present_statistics
      from pg_control_checkpoint()
      on conflict (started_at) do nothing;
  elsif present_statistics <> known_statistics then
    update multiserver.runs set statistics_since = present_statistics where started_at = this_run;
  end if;
  if present_statistics <> known_statistics then
    perform multiserver.doubt_links();
  end if;
  return this_run;
end $$;
grant execute on function multiserver.current_run() to multiserver_apply;

-- A subscription to this incarnation of the peer was made. Returns nothing; what must be compared is in doubt now.
create function multiserver.note_subscription(number integer, incarnation uuid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  before constant uuid := (select peer_incarnation from multiserver.links where peer_number = number);
begin
  perform multiserver.current_run();  -- so that a crash is noticed, even if it comes before the first heartbeat
  insert into multiserver.links as l (peer_number, peer_incarnation, doubted_at)
    -- The peer's slot may be older than this volume, and have sent to the one before.
    values (number, incarnation, case when exists (select from multiserver.broken_history) then clock_timestamp() end)
    on conflict (peer_number) do update set peer_incarnation = excluded.peer_incarnation;
  if before <> incarnation then
    perform multiserver.doubt_links();
  end if;
end $$;

-- Have every link compared once more.
create function multiserver.doubt_links() returns void language sql
begin atomic
  update multiserver.links set doubted_at = clock_timestamp();
end;

-- Is the link from a peer complete, given what the peer says of itself and its slot (peer_facts)? Takes note of the birth
-- of a slot behind which nothing can be missing. A subscription to another incarnation is waited out: the operator makes
-- it anew, and then the link is in doubt.
create function multiserver.link_is_complete(number integer, incarnation uuid, birth uuid, from_start boolean)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if birth is null then
    return false;
  elsif from_start then
    update multiserver.links l set slot_birth = birth
      where peer_number = number and peer_incarnation = incarnation and doubted_at is null
        and l.slot_birth is distinct from birth;
  end if;
  return exists (select from multiserver.links l where peer_number = number and peer_incarnation = incarnation
                 and l.slot_birth = birth and doubted_at is null);
end $$;

-- A pull from the peer has ended that began at `since` by this site's clock, after the peer had named these facts.
-- Returns whether the link is complete now; a doubt that came up meanwhile asks for another pull.
create function multiserver.complete_link(number integer, incarnation uuid, birth uuid, receives_from integer[],
                                         collected bigint, since timestamptz)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from multiserver.broken_history where how = 'rewound' and complete_until < collected) then
    raise exception using errcode = 'MS022',
      message = format('this database was put back to before %s; site %s has forgotten deletions since then, so comparing '
                       'cannot find what is missing here',
                       (select multiserver.version_time(complete_until)::timestamptz(0) from multiserver.broken_history),
                       multiserver.site_name(number)),
      hint = 'Empty the data volume of this site: it is filled again from a peer.';
  elsif exists (select from unnest(receives_from) as other where other <> multiserver.server_number()
             and not exists (select from multiserver.links where peer_number = other)) then
    return false;  -- what a site that left had sent to the peer may have come in after the pull
  end if;
  update multiserver.links l set slot_birth = birth, doubted_at = null
    where peer_number = number and peer_incarnation = incarnation and birth is not null
      and coalesce(doubted_at < since, true);
  return found;
end $$;

-- What a site tells the peer that asks, as far as their link is concerned. The birth is null while there is no slot that
-- still keeps all.
create function multiserver.peer_facts(asking integer)
returns table (server_number integer, incarnation uuid, schema_version bigint, is_open boolean, slot_birth uuid,
               from_start boolean, receives_from integer[], collected_horizon bigint)
language sql stable security definer
begin atomic
  select s.server_number, s.incarnation, v.version, s.opened_at is not null, b.birth, coalesce(b.from_start, false),
    array(select substr(subname, 13)::integer from pg_subscription where subname ~ '^multiserver_[0-9]+$'
            and subdbid = (select oid from pg_database where datname = current_database())),
    coalesce(multiserver.collected_horizon(), 0)
  from multiserver.site_settings s cross join multiserver.schema_state v
  left join (multiserver.slots b join multiserver.peer_slots p on p.peer_number = b.peer_number
               and p.wal_status is distinct from 'lost') on b.peer_number = asking;
end;
grant execute on function multiserver.peer_facts(integer) to multiserver_peer;

-- How far this site has got with the journal of the site that asks: the incarnation, what its newest heartbeat from there
-- said, and the position up to which transactions were applied; and what it has promised in any incarnation. No row if
-- nothing is known; parts may be null.
create function multiserver.known_position(asking integer)
returns table (incarnation uuid, run timestamptz, sent_lsn pg_lsn, applied_lsn pg_lsn, promised bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query
  select coalesce(l.peer_incarnation, h.incarnation),
    case when h.incarnation = coalesce(l.peer_incarnation, h.incarnation) then h.run end,
    case when h.incarnation = coalesce(l.peer_incarnation, h.incarnation) then h.sent_lsn end,
    case when l.peer_incarnation is not null then o.remote_lsn end,
    h.promised
  from (select asking as number) a
  left join multiserver.links l on l.peer_number = a.number
  left join multiserver.heartbeats h on h.server_number = a.number
  left join pg_subscription s on s.subname = 'multiserver_' || a.number
    and s.subdbid = (select oid from pg_database where datname = current_database())
  left join pg_replication_origin_status o on o.external_id = 'pg_' || s.oid
  where l.peer_number is not null or h.server_number is not null;
end $$;
grant execute on function multiserver.known_position(integer) to multiserver_peer;

-- Does a peer know a later state of this incarnation than this database has? Then the database was put back in time.
-- A server that crashed has all that it ever sent, since only what is on the disk is sent.
-- Or does it know the site under another incarnation, and by a run that began after this one's history broke? Then this
-- is a volume that the site had before that incarnation. A peer that knows nothing of the site knows nothing later.
-- What a site is known to have promised, and does not know itself, is noted for its opening.
create function multiserver.is_rewound(known_incarnation uuid, known_run timestamptz, sent_lsn pg_lsn,
                                       applied_lsn pg_lsn, known_promise bigint default null)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  -- Noted now: it may have sent no heartbeat yet, and the log may be long already.
  this_run constant timestamptz := multiserver.current_run();
begin
  update multiserver.site_settings set known_promise = is_rewound.known_promise
    where is_rewound.known_promise > greatest(site_settings.known_promise,
                                              pg_sequence_last_value('multiserver.promised_horizon'), 0);
  if known_incarnation = multiserver.incarnation() and (
       greatest(sent_lsn, applied_lsn) > pg_current_wal_lsn()
       or not exists (select from multiserver.runs where started_at = known_run) and known_run is not null
       or exists (select from multiserver.runs its join multiserver.runs later on later.began_lsn > its.began_lsn
                  where its.started_at = known_run and later.began_lsn <= is_rewound.sent_lsn))
     or known_incarnation <> multiserver.incarnation()
       and known_run > coalesce((select broken_at from multiserver.broken_history), '-infinity') then
    return true;
  end if;
  update multiserver.runs set is_vouched_for = true where started_at = this_run and not is_vouched_for;
  return false;
end $$;

-- The run before a run, as far as this incarnation knows.
create function multiserver.run_before(this_run timestamptz) returns timestamptz language sql stable
  return (select started_at from multiserver.runs where started_at <> this_run order by began_lsn desc limit 1);

-- The steps below are for superusers: they end the application's sessions, and alter its role.

create function multiserver.set_owner_login(allowed boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  execute format('alter role %I %s', (select pg_get_userbyid(datdba) from pg_database where datname = current_database()),
                 case when allowed then 'login' else 'nologin' end);
end $$;

-- Give no version again that was given in the history that broke: the clock may be behind the one of that time. Then
-- versions follow upon what had been promised, or upon what a key had, by a microsecond each, and would be the same ones
-- for other changes; nothing would tell them apart. The second is longer than any such row of versions. Nobody may write.
create function multiserver.continue_versions() returns void language sql
begin atomic
  select setval('multiserver.promised_horizon',
                greatest(known_promise, pg_sequence_last_value('multiserver.promised_horizon')) + 1000000 * 1024)
  from multiserver.site_settings;
end;

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
      perform multiserver.record_schema_change(array(select distinct belongs_to from multiserver.parts));
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

-- A peer knows a later state of this site: stop being the site that it knows. No position in the log that peers have
-- means anything any more, and no slot here vouches for anything. Returns whether this was the incarnation to give up, so
-- that one finding is acted on once.
create function multiserver.renounce(rewound_incarnation uuid) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  this_run constant timestamptz := multiserver.current_run();
  had_all_until constant bigint := (select complete_until from multiserver.runs where started_at = this_run);
begin
  update multiserver.site_settings set incarnation = gen_random_uuid() where incarnation = rewound_incarnation;
  if not found then
    return false;
  end if;
  perform multiserver.close_site();
  insert into multiserver.broken_history (how, complete_until) values ('rewound', had_all_until)
    on conflict (one) do update set how = excluded.how, broken_at = excluded.broken_at, donor_number = null,
      complete_until = excluded.complete_until, system_identifier = excluded.system_identifier;
  update multiserver.heartbeats set horizon = had_all_until where horizon > had_all_until;
  if multiserver.collected_horizon() > had_all_until then
    -- On the word of its peers it has taken events for collected that it never had, and would drop them as known.
    perform setval('multiserver.collected_horizon', greatest(had_all_until, 1));
  end if;
  delete from multiserver.slots;
  delete from multiserver.runs;
  perform multiserver.doubt_links();
  return true;
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
  delete from multiserver.runs;
  delete from multiserver.heartbeats;
  perform multiserver.release_number_ranges();
  insert into multiserver.broken_history (how, donor_number) values ('copied', donor)
    on conflict (one) do update set how = excluded.how, broken_at = excluded.broken_at, donor_number = donor,
      complete_until = null;
  delete from multiserver.site_settings;
  return true;
end $$;

-- Forget a site that has left; its subscription and slot are gone already. Its last changes may have reached only some
-- of us, so all links are in doubt. Returns whether anything was known of it.
create function multiserver.forget_site(number integer) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  was_known boolean;
begin
  delete from multiserver.links where peer_number = number;
  was_known := found;
  delete from multiserver.slots where peer_number = number;
  was_known := was_known or found;
  delete from multiserver.heartbeats where server_number = number;
  delete from multiserver.reports where server_number = number;
  if was_known then
    perform multiserver.doubt_links();
    perform multiserver.follow_membership();
  end if;
  return was_known;
end $$;
