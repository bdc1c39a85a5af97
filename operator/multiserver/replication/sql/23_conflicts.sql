-- The conflict log: changes that were lost to a concurrent change of the same row, with both images.
--
-- Two changes of one key are in conflict if neither writer had seen the other's. The base of a change (07_register.sql)
-- is the version that its writer had; a change that arrives late but was seen by the winner's writer is none.
--   * The incoming change (version v, base b) wins over the register's r: r was lost unseen if r > b.
--   * The incoming change v loses against r, whose base is b: it was lost unseen if b < v, or if r was written at this very
--     site: then v arrived only after it, whatever came between; or if the chain of changes up to r is unbroken here from
--     a version below v: v is none of them (07_register.sql). (Not if b = v: then r's writer had exactly it.)
--   * The incoming change wins over r < b: as a rule the change b is under way, and whoever had to see r did. But behind a
--     lost slot or a broken history comparing brings the newest change of a key without those before it. Then b may have
--     been written without r at a site to which r never came. So r is noted as perhaps seen if it lies in a gap
--     (21_links.sql). If a change comes later whose base is r, it was seen, and the note goes.
-- A key without register row has no known version: never a conflict. Two deletions lose nothing.
--
-- Each site logs what it sees lost; every lost change is logged at one site at least. Merging an event again finds its
-- entry there already. The log is bounded by age and by number of entries (limits, purge_conflicts).

create table multiserver.limits (
  one boolean primary key default true check (one),
  conflicts_kept interval not null default '30 days',
  conflicts_max bigint not null default 1000000
);
comment on table multiserver.limits is 'One row: how long and how much this site keeps.';
insert into multiserver.limits default values;

create table multiserver.conflicts (
  table_id integer not null references multiserver.tables,
  key text collate "C" not null,
  losing_version bigint not null,
  winning_version bigint not null,
  losing_deleted boolean not null,
  winning_deleted boolean not null,
  losing_image text,
  winning_image text,
  layout bigint not null,
  detected text not null
    check (detected in ('the later change arrived', 'the earlier change arrived', 'parked', 'perhaps seen')),
  detected_at timestamptz not null default clock_timestamp()
);
-- By its hash, since the text of a key may be longer than a btree takes.
create unique index on multiserver.conflicts (table_id, hashtextextended(key, 0), losing_version, winning_version);
create index on multiserver.conflicts (detected_at);
grant insert, delete on multiserver.conflicts to multiserver_apply;
comment on table multiserver.conflicts is 'Changes that were lost to concurrent ones; multiserver.conflict_log reads better.';
comment on column multiserver.conflicts.layout is 'Layout of both images.';
comment on column multiserver.conflicts.detected is
  'Which change this site merged when it saw the conflict. Parked: its own change went over a row that was parked. Perhaps '
  'seen: the later change arrived, but changes between the two did not, and one of them may have known the earlier one.';

create view multiserver.conflict_log as
  select t.name as "table", c.key,
    multiserver.site_name(multiserver.version_site(c.losing_version)) as losing_site,
    multiserver.version_time(c.losing_version) as losing_time,
    case when c.losing_deleted then 'deleted' else c.losing_image end as losing_row,
    multiserver.site_name(multiserver.version_site(c.winning_version)) as winning_site,
    multiserver.version_time(c.winning_version) as winning_time,
    case when c.winning_deleted then 'deleted' else c.winning_image end as winning_row,
    l.column_names as columns, c.detected, c.detected_at
  from multiserver.conflicts c
  join multiserver.tables t using (table_id)
  left join multiserver.layouts l on (l.table_id, l.layout) = (c.table_id, c.layout);
comment on view multiserver.conflict_log is 'What was lost to concurrent changes, for people. Rows are in the order of columns.';

-- Was `version` lost against `winner`, whose writer did not have it? `site` is this site's server number. A site whose
-- history broke may get once more what it had merged already, so there the chain tells nothing of changes from before.
create function multiserver.is_unseen(version bigint, winner bigint, winner_base bigint, winner_unbroken_from bigint,
                                      site integer)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return winner > version and version is distinct from winner_base and (
    coalesce(winner_base, 0) < version
    or multiserver.version_site(winner) = site
    or coalesce(winner_unbroken_from, 0) < version
       and not exists (select from multiserver.broken_history
                       where multiserver.version_time(version) < broken_at + interval '10 minutes'));
end $$;

-- What the writer of a change knew of its key at least. One that had no register row any more knew all that it had
-- collected; a site tells its collected horizon before it collects up to there (75_collect.sql).
create function multiserver.least_base(base bigint, version bigint) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return coalesce(base, (select collected from multiserver.heartbeats
                         where server_number = multiserver.version_site(version)), 0);
end $$;

-- May the change that was known here be unseen by a later one, though that went over a later version still? It may if it
-- lies in a gap, or will: if it is this site's own and there is no slot that keeps it for a peer.
create function multiserver.may_be_unseen(version bigint) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  its_author constant integer := multiserver.version_site(version);
begin
  return exists (select from multiserver.gaps
                 where author = its_author and version > after_version and version <= to_version)
    or its_author = multiserver.server_number() and exists (
      select from multiserver.heartbeats h
      where version > coalesce(multiserver.received_horizon(h.server_number, its_author), 0)
        and not exists (select from multiserver.slots b join multiserver.peer_slots p using (peer_number)
                        where b.peer_number = h.server_number and p.wal_status is distinct from 'lost'));
end $$;

-- Merge's call when a change has lost: whoever wrote it had its base.
create function multiserver.note_seen(p_table_id integer, p_key text, base bigint) returns void language sql
begin atomic
  delete from multiserver.conflicts
    where (table_id, hashtextextended(key, 0), losing_version) = (p_table_id, hashtextextended(p_key collate "C", 0), base)
      and key = p_key and detected = 'perhaps seen';
end;

-- Merge's call, after it has set the register and before it writes: the row that was known is still there, or parked.
create function multiserver.note_conflict(p_table_id integer, p_key text, incoming_won boolean,
  incoming_version bigint, incoming_base bigint, incoming_deleted boolean, incoming_image text, known_version bigint, known_deleted boolean)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  is_late constant boolean := incoming_won and known_version <= multiserver.least_base(incoming_base, incoming_version);
  known_image text;
begin
  if incoming_deleted and known_deleted
     or is_late and (incoming_base is null or not multiserver.may_be_unseen(known_version)) then
    return;
  end if;
  if not known_deleted then
    execute format('select multiserver.row_image_%s($1)', p_table_id) into known_image using p_key;
    known_image := coalesce(known_image, (
      select multiserver.translate(table_id, layout, image) from multiserver.parked
      where (table_id, key, version) = (p_table_id, p_key, known_version)));
  end if;
  if incoming_deleted then
    incoming_image := null;
  end if;
  if incoming_won then
    perform multiserver.log_conflict(p_table_id, p_key,
      case when is_late then 'perhaps seen' else 'the later change arrived' end,
      known_version, known_deleted, known_image, incoming_version, incoming_deleted, incoming_image);
  else
    perform multiserver.log_conflict(p_table_id, p_key, 'the earlier change arrived',
      incoming_version, incoming_deleted, incoming_image, known_version, known_deleted, known_image);
  end if;
end $$;

-- Settling's call: a change made at this site went over a row that was parked, so that nobody here could see it.
create function multiserver.note_overwritten(waiting multiserver.parked, live_version bigint) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  live_image text;
begin
  execute format('select multiserver.row_image_%s($1)', waiting.table_id) into live_image using waiting.key;
  perform multiserver.log_conflict(waiting.table_id, waiting.key, 'parked', waiting.version, false,
    multiserver.translate(waiting.table_id, waiting.layout, waiting.image), live_version, false, live_image);
end $$;

create function multiserver.log_conflict(table_id integer, key text, detected text,
  losing_version bigint, losing_deleted boolean, losing_image text,
  winning_version bigint, winning_deleted boolean, winning_image text) returns void language sql
begin atomic
  insert into multiserver.conflicts as c (table_id, key, detected, layout, losing_version, losing_deleted, losing_image,
                                          winning_version, winning_deleted, winning_image)
  select t.table_id, log_conflict.key, log_conflict.detected, t.layout, log_conflict.losing_version,
    log_conflict.losing_deleted, log_conflict.losing_image, log_conflict.winning_version,
    log_conflict.winning_deleted, log_conflict.winning_image
  from multiserver.tables t where t.table_id = log_conflict.table_id
  on conflict do nothing;
end;

-- The agent's call: forget entries that are too old, and the oldest of too many; ten thousand a call. Returns how many.
create function multiserver.purge_conflicts() returns bigint language sql
begin atomic
  with old as (
    select c.ctid as place from multiserver.conflicts c, multiserver.limits l
    where c.detected_at < greatest(clock_timestamp() - l.conflicts_kept,
      (select x.detected_at from multiserver.conflicts x order by x.detected_at desc
       offset l.conflicts_max - 1 limit 1))
    order by c.detected_at limit 10000),
  gone as (delete from multiserver.conflicts where ctid in (select place from old) returning 1)
  select count(*) from gone;
end;
