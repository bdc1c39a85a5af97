-- Versions: the total order in which changes of one row count.
--
-- A version is one bigint: microseconds since 1970 in the upper bits, the server number in the lower ten. Comparing two
-- versions compares the times first and the sites second, so no two sites ever write the same version of a row.
--
-- The clock is a hybrid logical clock per key: a change takes the wall clock, or one microsecond after the version the
-- key already has, whichever is later.
--
-- Invariant: at one site, a later change of a key has a greater version than everything the site knew of that key.
-- It holds because the version is drawn and stored in the key's register row in one statement, which locks that row.
-- Hence a wrong wall clock can decide a race between sites, but can never make a site lose its own later change.

-- Two horizons, kept in sequences because those only grow, survive a crash before anything that used them, and are not
-- rolled back (75_collect.sql):
--   * The promised horizon has been told to the peers: this site writes no version at or below it any more, even if its
--     clock is put back, or the whole database: then it asks its peers what it has promised (24_broken_history.sql).
--   * The collected horizon: register rows at or below it may have been collected. A key without one counts as having it.

create sequence multiserver.promised_horizon;
create sequence multiserver.collected_horizon;
grant select on sequence multiserver.collected_horizon to multiserver_apply;

create function multiserver.wall_clock() returns bigint language sql volatile
  return (date_part('epoch', clock_timestamp()) * 1000000)::bigint;

create function multiserver.version_at(clock bigint, server_number integer) returns bigint language sql immutable
  return (clock << 10) | server_number;

-- The version a change at this site gets if the key already has `known`.
create function multiserver.version_after(known bigint, wished bigint) returns bigint language sql immutable
  return greatest(wished, (((known >> 10) + 1) << 10) | (wished & 1023));

-- The version that a change at this site gets if its key has none: version_after(promised horizon, wall clock), written so
-- that PostgreSQL takes it into the caller's expression.
create function multiserver.new_version(server_number integer) returns bigint language sql volatile
  return multiserver.version_at(
    greatest(multiserver.wall_clock(), (pg_sequence_last_value('multiserver.promised_horizon') >> 10) + 1),
    server_number);

-- Null while nothing has ever been collected.
create function multiserver.collected_horizon() returns bigint language sql volatile
  return pg_sequence_last_value('multiserver.collected_horizon');

create function multiserver.version_time(version bigint) returns timestamptz language sql immutable
  return to_timestamp((version >> 10) / 1000000.0);

create function multiserver.version_site(version bigint) returns integer language sql immutable
  return (version & 1023)::integer;
