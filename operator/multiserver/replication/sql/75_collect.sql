-- Garbage collection: register rows that no event under way can need go, tombstones above all, and so do the events of
-- tables without key (27_tables_without_key.sql).
--
-- A register row decides whether an event that arrives is older than what is here. Once every site has all events up to
-- some version, no event at or below it can arrive any more, except again; then rows at or below it may go.
--
-- How a site learns that: heartbeats travel in the same stream as the rows.
--   * The sender promises a horizon: all its events up to there were sent before this heartbeat. It is the time of its
--     oldest writing transaction, and stays where it is while there are prepared transactions.
--   * It tells how far it has received the promises of each other site. A site takes over a promise only if nothing can
--     be missing behind it: the link is not in doubt and the slot is the one up to which it is complete (21_links.sql).
-- The least of all these, over every pair of sites, less a margin, is agreed: every site has everything up to there.
--
-- Invariants
--   * The collected horizon is persisted before a row at or below it goes, and at merging a missing row counts as it: an
--     event at or below it without a register row is one that all sites had. It writes nothing.
--   * No site writes a version at or below what it has promised, so none at or below what anybody has collected.
--   * While a known site is silent, a link is in doubt, this site is closed, or no peer has been asked whether it was put
--     back in time, the horizon stands still.
--   * Rows of parked keys stay. Rows of keys that are not deleted go only where no secondary unique index compares their
--     versions (10_parked_rows.sql).
--
-- Sites collect at different moments, so registers of two sites are equal above the greater of their horizons only. A
-- site put back to before a peer's horizon cannot be brought up by comparing registers: it is copied anew.

alter table multiserver.limits
  add column collection_margin interval not null default '24 hours',
  add column heartbeat_fresh interval not null default '1 minute';
comment on column multiserver.limits.collection_margin is 'How much longer than needed register rows are kept.';
comment on column multiserver.limits.heartbeat_fresh is 'A site counts as silent if its newest heartbeat is older.';

create table multiserver.collections (
  table_id integer primary key references multiserver.tables,
  next_block bigint not null default 0,
  tombstones_so_far bigint not null default 0,
  tombstones bigint,
  passed_at timestamptz
);
comment on table multiserver.collections is 'How far each register has been gone through.';
comment on column multiserver.collections.tombstones is 'Tombstones left at the end of the last pass.';

create function multiserver.register_of(table_id integer) returns regclass language sql stable
  return to_regclass(format('multiserver.register_%s', table_id));

-- The sender's half. Runs as superuser: others do not see the transactions of all sessions. The order matters: the clock is
-- read before looking for writers, since later ones draw later versions; and prepared transactions are looked for last,
-- since one that is being prepared stops being its session's and becomes a prepared one, never the other way round.
create function multiserver.promise_horizon() returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  promised constant bigint := pg_sequence_last_value('multiserver.promised_horizon');
  clock constant bigint := multiserver.wall_clock();
  horizon bigint;
begin
  perform pg_stat_clear_snapshot();  -- what this transaction has seen of the sessions before would be older than the clock
  select multiserver.version_at(least(clock, (date_part('epoch', min(xact_start)) * 1000000)::bigint), 0)
    into horizon
    from pg_stat_activity
    where backend_xid is not null and datname = current_database() and pid <> pg_backend_pid()
      and backend_type <> 'logical replication apply worker';
  if exists (select from pg_prepared_xacts where database = current_database()) then
    return promised;
  elsif horizon > coalesce(promised, 0) then
    return setval('multiserver.promised_horizon', horizon);
  end if;
  return promised;
end $$;

-- Up to which version this site has all events of another. In a run that no peer has vouched for, what heartbeats
-- promised since its beginning may have been sent to a later state of this database (24_broken_history.sql).
create function multiserver.own_horizon(sender integer) returns bigint language sql stable
  return (select least(h.horizon, (select complete_until from multiserver.latest_run() where not is_vouched_for))
          from multiserver.heartbeats h where h.server_number = sender);

-- Up to which version one site has all events of another, as far as this site knows.
create function multiserver.received_horizon(receiver integer, sender integer) returns bigint language sql stable
  return case when receiver = multiserver.server_number() then multiserver.own_horizon(sender)
    else (select (received ->> sender::text)::bigint from multiserver.heartbeats where server_number = receiver) end;

-- Why the horizon stands still at this site, as a sentence; null if it moves.
create function multiserver.collection_hold() returns text language sql stable
  return (select min(reason) from (
    select 'this site is not open' as reason
      where not exists (select from multiserver.site_settings where opened_at is not null)
    union all
    select format('no peer has been asked since %s whether it knows a later state of this site', started_at::timestamptz(0))
      from multiserver.latest_run() where not is_vouched_for
    union all
    select format('the link from site %s is in doubt', multiserver.site_name(peer_number))
      from multiserver.links where doubted_at is not null
    union all
    select format('site %s is silent', s.name)
      from multiserver.sites s cross join multiserver.limits l
      left join multiserver.heartbeats h on h.server_number = s.server_number
      where s.server_number <> multiserver.server_number()
        and coalesce(h.received_at < clock_timestamp() - l.heartbeat_fresh, true)
    union all
    select format('site %s has not confirmed what site %s wrote', receiver.name, sender.name)
      from multiserver.sites receiver join multiserver.sites sender on sender.server_number <> receiver.server_number
      where multiserver.received_horizon(receiver.server_number, sender.server_number) is null) as reasons);

-- Up to which version every site has every event, less the margin; null while that must not be relied on.
create function multiserver.agreed_horizon() returns bigint language sql stable
  return (
    select min(multiserver.received_horizon(receiver.server_number, sender.server_number))
             - (date_part('epoch', (select collection_margin from multiserver.limits)) * 1000000)::bigint * 1024
    from multiserver.sites receiver join multiserver.sites sender on sender.server_number <> receiver.server_number
    where multiserver.collection_hold() is null);

-- The agent's call, every few seconds: go through the next blocks of the registers. Returns how many rows went. What is
-- agreed now is persisted and told to the peers now, and used from the next call on: so they know what a change without
-- base may be based on (23_conflicts.sql) before one can come. Nothing waits: a call that finds merging busy does nothing, and rows in use are left for the next pass.
create function multiserver.collect_registers(max_blocks integer default 2000) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  horizon constant bigint := multiserver.collected_horizon();
  agreed constant bigint := multiserver.agreed_horizon();
  blocks_left integer := max_blocks;
  collected bigint := 0;
  step record;
begin
  if not multiserver.try_lock_merging() then
    return 0;
  end if;
  if agreed > coalesce(horizon, 0) then
    perform setval('multiserver.collected_horizon', agreed);
    perform multiserver.send_heartbeat();
  end if;
  perform multiserver.forget_appended(horizon);
  delete from multiserver.gaps where to_version <= horizon;
  insert into multiserver.collections (table_id)
    select table_id from multiserver.tables where multiserver.register_of(table_id) is not null on conflict do nothing;
  for step in
    select c.table_id, c.next_block,
      pg_relation_size(multiserver.register_of(c.table_id)) / current_setting('block_size')::bigint as blocks
    from multiserver.collections c where multiserver.register_of(c.table_id) is not null
    order by c.next_block = 0, c.passed_at nulls first
  loop
    exit when blocks_left <= 0;
    collected := collected + multiserver.collect_blocks(step.table_id, step.next_block,
                                                        step.next_block + blocks_left, horizon);
    update multiserver.collections set next_block = step.next_block + blocks_left where table_id = step.table_id;
    if step.next_block + blocks_left >= step.blocks then
      update multiserver.collections set next_block = 0, tombstones = tombstones_so_far, tombstones_so_far = 0,
        passed_at = clock_timestamp() where table_id = step.table_id;
    end if;
    blocks_left := blocks_left - greatest(step.blocks - step.next_block, 1);
  end loop;
  return collected;
end $$;

-- Collect in blocks `first` to before `last` of one register; count the tombstones that stay.
create function multiserver.collect_blocks(p_table_id integer, first bigint, last bigint, horizon bigint)
returns bigint language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  variables constant jsonb := multiserver.template_variables(p_table_id) || jsonb_build_object(
    'collectable', case when exists (
        select from multiserver.tables t join pg_index i on i.indrelid = t.relation and not i.indisprimary
        where t.table_id = p_table_id and (i.indisunique or i.indisexclusion)) then 'r.deleted' else 'true' end);
  from_place constant tid := format('(%s,0)', first);
  to_place constant tid := format('(%s,0)', last);
  collected bigint := 0;
  tombstones_here bigint;
begin
  if horizon is not null then
    execute multiserver.render($template$
      delete from {register} where ctid in (
        select r.ctid from {register} r
        where r.ctid >= $1 and r.ctid < $2 and r.version <= $3 and {collectable}
          and not exists (select from multiserver.parked p where p.table_id = {id}
                          and p.key = textin(record_out(row({register_key_of_r}))))
        for update skip locked)$template$,
      variables || jsonb_build_object('register_key_of_r',
        (select string_agg('r.k' || n, ', ' order by n) from generate_series(1, (variables ->> 'key_count')::integer) n)))
      using from_place, to_place, horizon;
    get diagnostics collected = row_count;
  end if;
  execute multiserver.render('select count(*) from {register} r where ctid >= $1 and ctid < $2 and deleted', variables)
    into tombstones_here using from_place, to_place;
  update multiserver.collections set tombstones_so_far = tombstones_so_far + tombstones_here
    where table_id = p_table_id;
  return collected;
end $$;

-- What the engine takes for itself.
create view multiserver.sizes as
  select pg_total_relation_size('multiserver.journal') as journal_bytes,
    (select coalesce(sum(pg_total_relation_size(multiserver.register_of(table_id))), 0)::bigint
     from multiserver.tables) as register_bytes,
    pg_total_relation_size('multiserver.appended') as appended_bytes,
    (select coalesce(sum(tombstones), 0)::bigint from multiserver.collections) as tombstones,
    (select count(*) from multiserver.conflicts) as conflicts,
    pg_total_relation_size('multiserver.conflicts') as conflicts_bytes,
    (select count(*) from multiserver.parked where sqlstate is null) as parked_for_unique,
    (select count(*) from multiserver.parked where sqlstate is not null) as parked_refused,
    multiserver.version_time(multiserver.agreed_horizon()) as agreed_until,
    multiserver.collection_hold() as hold;
comment on view multiserver.sizes is 'How much the engine keeps; hold says why register rows are not collected now.';
