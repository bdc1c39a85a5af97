-- The door for events from peers: a trigger on the journal that fires in subscription workers only.
--
-- It merges each event and stores nothing. One remote transaction at a time is merged at a site (lock_merging): apply
-- workers of several links cannot deadlock each other.
--
-- Lock order of a merge: the merging lock, rows of the application's tables, their register rows.

-- True, as soon as it has the lock.
create function multiserver.lock_merging() returns boolean language sql
  return pg_advisory_xact_lock(hashtextextended('multiserver: one remote transaction at a time', 0)) is not null;

create function multiserver.try_lock_merging() returns boolean language sql
  return pg_try_advisory_xact_lock(hashtextextended('multiserver: one remote transaction at a time', 0));

create function multiserver.receive() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  is_locked constant boolean := multiserver.lock_merging();
  is_merged boolean;
begin
  if new.kind in ('I', 'U', 'D') then
    is_merged := multiserver.merge_rows(new);  -- not PERFORM: see merge_one
    return null;
  end if;
  case
    when new.kind = 'A' then perform multiserver.merge_append(new);
    when new.kind = 'H' then
      perform multiserver.merge_heartbeat(new.version, new.content::jsonb);
      perform multiserver.settle_parked_rows();
    when new.kind = 'R' then perform multiserver.merge_report(new.version, new.content::jsonb);
    when new.kind = 'S' then perform multiserver.merge_schema(new.layout, new.content::jsonb);
    when new.kind = 'V' then perform multiserver.merge_refresh(new.version, new.content::jsonb);
    else
      raise exception using errcode = 'MS002',
        message = format('site %s sent an event of kind %s, which this site''s engine does not know: waiting',
                         multiserver.site_name(multiserver.version_site(new.version)), new.kind),
        hint = 'Upgrade this site.';
  end case;
  return null;
end $$;

create trigger receive before insert on multiserver.journal for each row execute function multiserver.receive();
alter table multiserver.journal enable replica trigger receive;
