-- The journal: what travels between sites, and the only thing that does.
--
-- Capture appends events here; PostgreSQL's logical replication carries the insertions to every peer; there a BEFORE
-- INSERT trigger (80_receive.sql) merges each event and stores nothing. The columns are the event format between
-- capture and merge; replication/DESIGN.md documents it.
--
-- No index, no key: rows are appended and never looked at again.
--
-- Most events have one row, and all that is written here is written ahead to the log and sent to every peer. So columns
-- stand by their width, which leaves no gaps, and those that only an event with several rows needs come last: null at the
-- end of a row costs nothing.

create table multiserver.journal (
  version bigint not null,
  base bigint,
  layout integer not null,
  table_id integer not null,
  kind "char" not null,
  content text,
  contents text[],
  bases bigint[]
);
comment on table multiserver.journal is 'Events of this site on their way to its peers.';
comment on column multiserver.journal.version is 'Version of the change (time and site); of every row.';
comment on column multiserver.journal.base is
  'Version that the key of every row had at this site before the change; null if it had none.';
comment on column multiserver.journal.bases is
  'The same for each row, in the order of contents, if the rows differ in it; null if base tells it.';
comment on column multiserver.journal.table_id is 'multiserver.tables.table_id; 0 if the event is about no table.';
comment on column multiserver.journal.layout is
  'Schema version at which the table got the columns that its rows were written with; for S the new schema version.';
comment on column multiserver.journal.kind is
  'I inserted or U updated rows, D deleted keys, A rows added to a table without key, S schema change, H heartbeat, '
  'R report, V materialized view refreshed.';
comment on column multiserver.journal.content is
  'I, U: the row image; D: the key, both in PostgreSQL''s text form of a row; S, H, R, V: a JSON document.';
comment on column multiserver.journal.contents is
  'Instead of content, if there are several: row images or keys; A: the event''s UUID, then row images.';

grant insert on multiserver.journal to multiserver_apply;

create publication multiserver for table multiserver.journal with (publish = 'insert');

-- Forget events. Logical replication reads the write-ahead log, which each peer's slot keeps until the peer has
-- confirmed it; the stored rows are needed by nobody once their transaction has ended. An exclusive lock proves that
-- none is under way. We do not wait for it, and only a moment if the journal has grown large, since everybody who writes
-- would wait behind us; the next call tries again. Returns whether the journal is empty now.
create function multiserver.purge_journal() returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  large constant bigint := 64 * 1024 * 1024;
  size constant bigint := pg_relation_size('multiserver.journal');
begin
  if size > 0 then
    perform set_config('lock_timeout', case when size > large then '200ms' else '1ms' end, true);
    lock table multiserver.journal in access exclusive mode;
    truncate multiserver.journal;
  end if;
  return true;
exception
  when lock_not_available then return false;
end $$;
