-- The register: for every key of a table the version of the change that counts, its base, and whether it deleted the row.
--
-- It is the single arbiter. Capture stores the version of a local change in it; merge stores the version of a remote
-- change only if it is greater (compare and set). The state of a key is therefore the greatest version ever seen,
-- whatever the order of arrival: a maximum over a set. A deleted key stays as a tombstone so that an older change
-- arriving later finds that it lost.
--
-- A key without a register row was never changed since the table is replicated, or so long ago that all sites have the
-- change: it counts as having the collected horizon (75_collect.sql), or none while nothing was ever collected.
--
-- The base is the version that the key had at the writer's site before the change: what the writer may have seen. It
-- tells a change that went over another one unseen (a conflict) from one that merely arrives late.
--
-- A change usually goes over exactly the version that the key has here. The chain of such changes is unbroken from some
-- version on: whatever arrives only now and is newer than that is none of the chain's changes, so their writers had not
-- seen it (23_conflicts.sql). Null if the chain never broke.
--
-- Key columns are called k1, k2, ... and have the types and collations of the table's own key. Columns stand by their
-- width, so that no gaps between them are written ahead to the log with every change.
--
-- Lock order everywhere: the row of the table first, its register row second.

create function multiserver.create_register(variables jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if to_regclass(variables ->> 'register') is not null then
    return;
  end if;
  execute multiserver.render($template$
    create table {register} (
      version bigint not null, base bigint, unbroken_from bigint, {register_columns}, deleted boolean not null,
      primary key ({register_key})
    ) with (fillfactor = 70);
    grant insert, update on {register} to multiserver_apply$template$, variables);
end $$;

-- Follow a change of the key columns' types in the table.
create function multiserver.adapt_register(p_table_id integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  change record;
begin
  for change in
    select format('alter table multiserver.register_%s alter k%s type %s', p_table_id, k.n, k.wanted) as statement
    from (select row_number() over (order by array_position(i.indkey::int2[], a.attnum)) as n,
            multiserver.base_type(a.atttypid, a.atttypmod) as wanted
          from multiserver.tables t join pg_index i on i.indrelid = t.relation and i.indisprimary
          join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
          where t.table_id = p_table_id) k
    join pg_attribute r on r.attrelid = format('multiserver.register_%s', p_table_id)::regclass
                        and r.attname = format('k%s', k.n)
    where format_type(r.atttypid, r.atttypmod) <> k.wanted
  loop
    execute change.statement;
  end loop;
end $$;

-- All registers as one relation, for comparing sites.
create function multiserver.versions()
returns table (table_name text, key text, version bigint, base bigint, deleted boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  t multiserver.tables;
begin
  for t in select * from multiserver.tables x where relation is not null
             and to_regclass(format('multiserver.register_%s', x.table_id)) is not null loop
    return query execute multiserver.render(
      'select $1, textin(record_out(row({register_key}))), version, base, deleted from {register}',
      multiserver.template_variables(t.table_id)) using t.name;
  end loop;
end $$;
