-- Runs of the server, and what breaks a site's history: a crash, being put back in time, being copied.
--
-- A site whose database is older than its peers know it, or a copy of a donor's, begins a new incarnation: no position in
-- its log means anything to its peers any more. It stays closed until it has all of the peers it reaches (29_opening.sql).
--
-- A site that crashed goes on, and doubts all its links: it may have lost what its peers keep no longer. What comes from
-- peers is committed asynchronously. An apply worker confirms no more than has reached the disk, but one that follows upon
-- another, after a cut or an error, knows nothing of its predecessor's commits, and confirms them at once.

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

-- The run before a run, as far as this incarnation knows.
create function multiserver.run_before(this_run timestamptz) returns timestamptz language sql stable
  return (select started_at from multiserver.runs where started_at <> this_run order by began_lsn desc limit 1);

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
  is_crash constant boolean := (select statistics_since <> present_statistics from multiserver.latest_run());
begin
  if not exists (select from multiserver.runs where started_at = this_run) then
    -- Recovery, or the stop before, ended with a checkpoint, which lies nearer to the beginning than what we see now.
    insert into multiserver.runs (started_at, began_lsn, complete_until, statistics_since)
      select this_run, least(pg_current_wal_insert_lsn(), redo_lsn), multiserver.complete_until(), present_statistics
      from pg_control_checkpoint()
      on conflict (started_at) do nothing;
  end if;
  if is_crash then
    update multiserver.runs set statistics_since = present_statistics where started_at = this_run;
    perform multiserver.doubt_links();
  end if;
  return this_run;
end $$;
grant execute on function multiserver.current_run() to multiserver_apply;

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
  perform multiserver.note_gap(multiserver.server_number());
  return true;
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
