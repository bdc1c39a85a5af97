-- The schema `multiserver` and who may touch it.
--
-- Three roles share the work, none of them a superuser:
--   * multiserver_engine (no login) owns everything here. Capture runs with its rights inside the application's sessions
--     (SECURITY DEFINER). It is a member of the application's owner, but never evaluates the application's code: capture
--     calls nothing but the types' output functions.
--   * multiserver_apply owns the subscriptions; merge runs with its rights. Rows drag user code along when they are
--     written (CHECK functions, index expressions, defaults, domains); that code finds a role that can do no more than
--     the application's owner and cannot change the engine. Schema statements run as the owner of their object.
--   * multiserver_peer is who a peer's subscription logs in as.
-- So a superuser, the operator's or the agent's, may call the engine's functions: nobody below can replace them.
--
-- Two rules hold for every function of the schema:
--   * names are bound safely: a one-statement function has a body parsed at creation (RETURN, BEGIN ATOMIC), every other
--     one has `set search_path = pg_catalog, pg_temp` and writes all other schemas out;
--   * only multiserver_engine and multiserver_apply may call it, unless a grant beside it says more.
--
-- SQLSTATEs of the engine:
--   MS001  an event must wait for a schema event that is still on its way (the link retries by itself)
--   MS002  a peer speaks a newer event format than this engine knows
--   MS003  schema changes run at another site
--   MS004  a schema change that rows under way from other sites could contradict
--   MS010  a schema change that cannot be described, so it could not reach the other sites
--   MS011  an UPDATE, DELETE or TRUNCATE of a table without primary key
--   MS012  a statement that must see all rows of a table, in a transaction whose snapshot may not show them
--   MS013  a write to a table whose columns were changed at one site past the engine
--   MS020  a number range that cannot be given
--   MS021  a site setting that must not change
--   MS022  a site that is not ready to be opened or copied
--   MS040  a comparison of sites whose schema versions differ (tried again later)

create schema multiserver authorization multiserver_engine;
comment on schema multiserver is 'Journal-and-merge replication between the sites of a cluster.';

-- Settings of the application's database reach the apply workers too; these keep them able to write and make the text
-- form of every value independent of them. The worker gives way in a deadlock, never the application.
do $$
declare
  setting text;
begin
  foreach setting in array array[
    'deadlock_timeout = ''50ms''', 'default_transaction_read_only = off',
    'default_transaction_isolation = ''read committed''', 'statement_timeout = 0', 'transaction_timeout = 0',
    'idle_in_transaction_session_timeout = 0', 'lock_timeout = 0', 'row_security = on',
    'search_path = pg_catalog, pg_temp',
    'datestyle = ''ISO, MDY''', 'intervalstyle = ''postgres''', 'extra_float_digits = 1', 'lc_monetary = ''C''',
    'xmloption = content', 'array_nulls = on', 'enable_seqscan = off', 'synchronous_commit = off']
  loop
    execute format('alter role multiserver_apply in database %I set %s', current_database(), setting);
  end loop;
end $$;

-- To own a publication or a subscription.
do $$ begin
  execute format('grant create on database %I to multiserver_engine, multiserver_apply', current_database());
end $$;

-- How far this site has got with each peer's journal; peers ask for it (24_broken_history.sql).
grant select on pg_replication_origin_status to multiserver_engine;
grant execute on function pg_show_replication_origin_status() to multiserver_engine;

alter default privileges for role multiserver_engine revoke execute on functions from public;
alter default privileges for role multiserver_engine in schema multiserver
  grant execute on functions to multiserver_apply;
alter default privileges for role multiserver_engine in schema multiserver
  grant select on tables to multiserver_apply;
grant usage on schema multiserver to public;

create table multiserver.migrations (
  step text primary key,
  digest text not null,
  applied_at timestamptz not null default clock_timestamp()
);
alter table multiserver.migrations owner to multiserver_engine;
comment on table multiserver.migrations is 'The steps of the engine that this database has (replication/install.py).';
