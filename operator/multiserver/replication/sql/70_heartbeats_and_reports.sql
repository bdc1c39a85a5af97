-- Heartbeats and reports: what sites tell each other about themselves, in the same stream as the rows.
--
-- They cannot overtake rows, so the age of the newest heartbeat from a peer says how old our view of its rows is.

create table multiserver.heartbeats (
  server_number integer primary key,
  sent_at timestamptz not null,
  received_at timestamptz not null,
  system_identifier bigint not null,
  sent_lsn pg_lsn not null,
  incarnation uuid not null,
  run timestamptz not null,
  collected bigint,
  horizon bigint,
  received jsonb not null default '{}',
  promised bigint
);
grant insert, update on multiserver.heartbeats to multiserver_apply;
comment on table multiserver.heartbeats is 'The newest heartbeat from each peer.';
comment on column multiserver.heartbeats.collected is 'The peer''s collected horizon.';
comment on column multiserver.heartbeats.horizon is
  'This site has all events of the peer up to this version (75_collect.sql); null if not known.';
comment on column multiserver.heartbeats.received is 'The same of the peer: up to which version it has each site''s events.';

comment on column multiserver.heartbeats.promised is
  'The greatest version up to which the peer has said that it writes none any more, in whatever incarnation.';

create table multiserver.reports (
  server_number integer primary key,
  observed_at timestamptz not null,
  received_at timestamptz not null,
  report jsonb not null
);
grant insert, update on multiserver.reports to multiserver_apply;
comment on table multiserver.reports is 'The newest report of each site: its own viewpoint of itself and its peers.';

create function multiserver.send_document(kind "char", document jsonb) returns void language sql
begin atomic
  insert into multiserver.journal (version, table_id, layout, kind, content)
  select multiserver.version_at(multiserver.wall_clock(), multiserver.server_number()), 0, 0, kind, document::text
  where multiserver.has_peers();
end;

create function multiserver.send_heartbeat() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  this_run constant timestamptz := multiserver.current_run();
begin
  perform multiserver.send_document('H', jsonb_build_object(
    'system_identifier', (select system_identifier from pg_control_system()), 'incarnation', multiserver.incarnation(),
    'run', this_run, 'run_before', multiserver.run_before(this_run),
    'began_lsn', (select began_lsn from multiserver.runs where started_at = this_run),
    'lsn', pg_current_wal_insert_lsn(),
    'horizon', multiserver.promise_horizon(), 'collected', multiserver.collected_horizon(),
    'received', (select jsonb_object_agg(server_number, multiserver.own_horizon(server_number))
                 from multiserver.heartbeats where horizon is not null),
    'slots', (select jsonb_object_agg(peer_number, case when from_start then 'from start' else birth::text end)
              from multiserver.slots)));
end $$;

-- The agent's call, every two seconds: send the rows that wait for it, and a sign of life.
create function multiserver.beat() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  t record;
begin
  for t in select table_id from multiserver.tables
           where unsent_rows and multiserver.other_columns(table_id) is null loop
    perform set_config('deadlock_timeout', '50ms', true);  -- we give way, never the application
    perform multiserver.send_rows(t.table_id);
  end loop;
  perform multiserver.send_heartbeat();
end $$;

-- The agent's call, every ten seconds or so. The report is stored here and travels to all peers.
create function multiserver.publish_report(report jsonb) returns void language plpgsql
set search_path = pg_catalog, pg_temp as $$
begin
  perform multiserver.merge_report(
    multiserver.version_at(multiserver.wall_clock(), multiserver.server_number()), report);
  perform multiserver.send_document('R', report);
end $$;

-- Does a heartbeat vouch for all events of its sender before it? Only across a link to which nothing can be missing: it
-- came through the slot up to which the link is complete, and nothing is in doubt (21_links.sql).
create function multiserver.has_all_before(version bigint, beat jsonb) returns boolean language sql stable
  return exists (
    select from multiserver.links l
    where l.peer_number = multiserver.version_site(version) and l.doubted_at is null
      and beat -> 'slots' ->> multiserver.server_number()::text in ('from start', l.slot_birth::text));

-- May a heartbeat come from a sender that was put back in time? A run of the server begins behind all that was sent before,
-- and comes after the run that we know, or a later one. What we know of the later state is kept then: the sender asks for
-- it, and judges (24_broken_history.sql).
create function multiserver.shows_rewind(known multiserver.heartbeats, beat jsonb) returns boolean language sql stable
  return coalesce(known.incarnation = (beat ->> 'incarnation')::uuid and known.run <> (beat ->> 'run')::timestamptz
                  and ((beat ->> 'began_lsn')::pg_lsn < known.sent_lsn
                       or (beat ->> 'run_before')::timestamptz < known.run), false);

create function multiserver.merge_heartbeat(version bigint, beat jsonb) returns void language sql
begin atomic
  select multiserver.current_run();  -- before anything is learned in it (24_broken_history.sql)
  insert into multiserver.heartbeats as h
    (server_number, sent_at, received_at, system_identifier, sent_lsn, incarnation, run, collected, received, promised,
     horizon)
  values (multiserver.version_site(version), multiserver.version_time(version), clock_timestamp(),
          (beat ->> 'system_identifier')::bigint, (beat ->> 'lsn')::pg_lsn, (beat ->> 'incarnation')::uuid,
          (beat ->> 'run')::timestamptz, (beat ->> 'collected')::bigint, coalesce(nullif(beat -> 'received', 'null'), '{}'),
          (beat ->> 'horizon')::bigint,
          case when multiserver.has_all_before(version, beat) then (beat ->> 'horizon')::bigint end)
  on conflict (server_number) do update set sent_at = excluded.sent_at, received_at = excluded.received_at,
    system_identifier = excluded.system_identifier, incarnation = excluded.incarnation,
    sent_lsn = case when multiserver.shows_rewind(h, beat) then h.sent_lsn else excluded.sent_lsn end,
    run = case when multiserver.shows_rewind(h, beat) then h.run else excluded.run end,
    collected = excluded.collected, received = excluded.received, promised = greatest(excluded.promised, h.promised),
    -- Across a gap the stream does not say that we have what lies before.
    horizon = coalesce(excluded.horizon, h.horizon);
end;

create function multiserver.merge_report(version bigint, report jsonb) returns void language sql
begin atomic
  insert into multiserver.reports as r
  values (multiserver.version_site(version), multiserver.version_time(version), clock_timestamp(), report)
  on conflict (server_number) do update set observed_at = excluded.observed_at, received_at = excluded.received_at,
    report = excluded.report;
end;
