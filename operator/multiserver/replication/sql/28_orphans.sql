-- Orphans: rows whose foreign key leads nowhere, because one site inserted a child while another deleted its parent.
--
-- Foreign keys are checked where a row is written, not where it is merged: a merge that failed for a missing parent would
-- stand still although the parent may be on its way. The orphans are the same at all sites. Nothing repairs them by
-- itself, since only the application knows whether the parent should come back or the child should go.

-- Look at every foreign key of the replicated tables, up to `most` orphans each. It reads the tables: call it after
-- conflicts, or at night. `parent` and `missing` say what is sought and not found.
create function multiserver.orphans(most bigint default 100)
returns table (foreign_key text, child text, child_row text, parent text, missing text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  k record;
begin
  for k in
    select f.conname, multiserver.qualified_name(f.conrelid) as child, multiserver.qualified_name(f.confrelid) as parent,
      p.relkind = 'p' as is_partitioned, f.confmatchtype = 'f' as is_full,
      string_agg(format('c.%I', ca.attname), ', ' order by e.n) as child_columns,
      string_agg(format('p.%I operator(%I.%s) c.%I', pa.attname, n.nspname, o.oprname, ca.attname), ' and ' order by e.n) as matches
    from pg_constraint f join multiserver.tables t on t.relation = f.conrelid join pg_class p on p.oid = f.confrelid
    cross join lateral unnest(f.conkey, f.confkey, f.conpfeqop) with ordinality as e (child_column, parent_column, equal, n)
    join pg_attribute ca on ca.attrelid = f.conrelid and ca.attnum = e.child_column
    join pg_attribute pa on pa.attrelid = f.confrelid and pa.attnum = e.parent_column
    join pg_operator o on o.oid = e.equal join pg_namespace n on n.oid = o.oprnamespace
    where f.contype = 'f' and not exists (select from pg_constraint up where up.oid = f.conparentid and up.conrelid = f.conrelid)
    group by f.oid, f.conname, f.conrelid, f.confrelid, p.relkind, f.confmatchtype
    order by 2, 1
  loop
    return query execute format(
      'select %L, %L, textin(record_out(c)), %L, textin(record_out(row(%s))) from only %s c
       where %s and not exists (select from %s p where %s) limit %s',
      k.conname, k.child, k.parent, k.child_columns, k.child,
      case when k.is_full then format('not row(%s) is null', k.child_columns)
           else format('row(%s) is not null', k.child_columns) end,
      case when k.is_partitioned then '' else 'only ' end || k.parent, k.matches, most);
  end loop;
end $$;
