-- Links between sites: a slot at the sender, a subscription at the receiver, and what each knows of the other's end.
--
-- A link from P to N is complete if N has everything that P ever had to send. The stream alone keeps it so, from the
-- moment when P's slot for N was made, as long as neither site's history breaks (24_broken_history.sql). Everything else
-- is found by comparing facts, never by remembering a phase:
--   * A slot's birth names the slot from its making to its loss. P makes the slot first and the birth second: a birth
--     vouches for a slot that keeps all that was written since, and a slot without one is made anew.
--   * N notes the birth up to which it is known to be complete. If P's slot has another one, N lacks what fell between:
--     its agent pulls the difference from P, then notes the birth.
--   * N notes for which incarnation of P its subscription was made. If P has another one, the position that N's
--     replication origin remembers is a place in a log that is gone, and everything written before it would silently be
--     skipped: the subscription is made anew. Nor can it reach the slot of another incarnation: that has another name.
--   * A link is in doubt when an end's history broke: a peer's new incarnation, or a site that left, may have sent its
--     last changes to some sites only, so each survivor then compares itself with each other once. A site that crashed
--     doubts all its links.
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

create table multiserver.gaps (
  author integer not null,
  after_version bigint not null,
  to_version bigint not null
);
comment on table multiserver.gaps is
  'Versions of a site''s changes that some other site may know by comparing only: then it has the newest of a key, and '
  'never sees those before (23_conflicts.sql). Kept until everything up to them is collected.';

-- A gap begins behind what is known to have come everywhere and ends now; the margin is for versions and clocks ahead.
create function multiserver.note_gap(author integer, received bigint default null) returns void language sql
begin atomic
  insert into multiserver.gaps values (author, coalesce(received, multiserver.collected_horizon(), 0),
    multiserver.version_at(multiserver.wall_clock() + 600 * 1000000::bigint, 0));
end;

-- A slot for a peer was made: its birth. What an earlier slot has not delivered is a gap.
create function multiserver.note_slot(peer integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  is_first constant boolean := (
    select opened_at is null and closed_at is null
      and not exists (select from multiserver.broken_history where how = 'rewound')
    from multiserver.site_settings);
begin
  if not is_first and exists (select from multiserver.heartbeats where server_number = peer) then
    perform multiserver.note_gap(multiserver.server_number(),
                                 multiserver.received_horizon(peer, multiserver.server_number()));
  end if;
  insert into multiserver.slots (peer_number, from_start) values (peer, is_first);
end $$;

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
    -- What it wrote may not have come to all; and what was sent to its volume before, this one may not have.
    perform multiserver.note_gap(number), multiserver.note_gap(multiserver.server_number());
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

-- Raise if comparing with the peer cannot find what is missing here: then a pull is of no use.
create function multiserver.refuse_beyond_repair(number integer, collected bigint) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from multiserver.broken_history where how = 'rewound' and complete_until < collected) then
    raise exception using errcode = 'MS022',
      message = format('this database was put back to before %s; site %s has forgotten deletions since then, so comparing '
                       'cannot find what is missing here',
                       (select multiserver.version_time(complete_until)::timestamptz(0) from multiserver.broken_history),
                       multiserver.site_name(number)),
      hint = 'Empty the data volume of this site: it is filled again from a peer.';
  end if;
end $$;

-- A pull from the peer has ended that began at `since` by this site's clock, after the peer had named these facts.
-- Returns whether the link is complete now; a doubt that came up meanwhile asks for another pull.
create function multiserver.complete_link(number integer, incarnation uuid, birth uuid, receives_from integer[],
                                         collected bigint, since timestamptz)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform multiserver.refuse_beyond_repair(number, collected);
  if exists (select from unnest(receives_from) as other where other <> multiserver.server_number()
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
    perform multiserver.note_gap(number);
    perform multiserver.follow_membership();
  end if;
  return was_known;
end $$;
