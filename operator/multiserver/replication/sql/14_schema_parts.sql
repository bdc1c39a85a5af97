-- The application's schema as parts: what there is to describe.
--
-- A part is a schema, extension, type (enum, domain, composite, range), sequence, table, column, constraint, index,
-- function, view, materialized view, rule or trigger. It is known by its place in PostgreSQL's catalogues, so a renamed
-- part is still the same part. multiserver.parts shows the parts as
-- they are now; multiserver.known_parts keeps them as the peers know them; the difference is what a statement has
-- changed (18_schema_difference.sql). Nobody has to understand the statement itself.
--
-- What a part's facts put under "undescribed" has no statement here: if it changes, the change is refused (MS010). There,
-- null and false mean "nothing special".

create function multiserver.is_of_extension(class oid, object oid) returns boolean language sql stable
  return exists (select from pg_depend d where d.classid = class and d.objid = object and d.deptype = 'e');

-- Made by PostgreSQL itself for another object, such as the constructor functions of a range type.
create function multiserver.is_internal(class oid, object oid) returns boolean language sql stable
  return exists (select from pg_depend d where d.classid = class and d.objid = object and d.deptype = 'i');

create view multiserver.parts_without_comments as
  with namespaces as not materialized (
    select oid, nspname, nspowner, nspacl from pg_namespace where multiserver.is_application_schema(oid)
  ), relations as not materialized (
    select c.*, format('%I.%I', n.nspname, c.relname) as place
    from pg_class c join namespaces n on n.oid = c.relnamespace
    where c.relpersistence <> 't' and not multiserver.is_of_extension('pg_class'::regclass, c.oid)
  )
  select 'pg_namespace'::regclass::oid as class, n.oid as object, 0 as column_number, n.oid as belongs_to,
    'schema' as kind, n.nspowner as owner, quote_ident(n.nspname) as place, n.nspname::text as name,
    jsonb_build_object('undescribed', jsonb_build_object('privileges', n.nspacl::text)) as facts
  from namespaces n where n.nspname <> 'public'
union all
  select 'pg_extension'::regclass, e.oid, 0, e.oid, 'extension', e.extowner, quote_ident(e.extname), e.extname::text,
    jsonb_build_object('version', e.extversion, 'schema', e.extnamespace::regnamespace::text)
  from pg_extension e where e.extname <> 'plpgsql'
union all
  select 'pg_type'::regclass, t.oid, 0, t.oid, 'enum', t.typowner, format('%I.%I', n.nspname, t.typname),
    t.typname::text,
    jsonb_build_object(
      'labels', (select jsonb_agg(jsonb_build_array(enumlabel, oid::text) order by enumsortorder)
                 from pg_enum where enumtypid = t.oid),
      'undescribed', jsonb_build_object('privileges', t.typacl::text))
  from pg_type t join namespaces n on n.oid = t.typnamespace
  where t.typtype = 'e' and not multiserver.is_of_extension('pg_type'::regclass, t.oid)
union all
  select 'pg_type'::regclass, t.oid, 0, t.oid, 'domain', t.typowner, format('%I.%I', n.nspname, t.typname),
    t.typname::text,
    jsonb_build_object('type', format_type(t.typbasetype, t.typtypmod), 'default', t.typdefault,
      'collation', case when t.typcollation <> b.typcollation then t.typcollation::regcollation::text end,
      'not_null', t.typnotnull,
      'checks', (select coalesce(jsonb_object_agg(k.conname, pg_get_constraintdef(k.oid)), '{}')
                 from pg_constraint k where k.contypid = t.oid and k.contype = 'c'),
      'undescribed', jsonb_build_object('privileges', t.typacl::text))
  from pg_type t join namespaces n on n.oid = t.typnamespace join pg_type b on b.oid = t.typbasetype
  where t.typtype = 'd' and not multiserver.is_of_extension('pg_type'::regclass, t.oid)
union all
  select 'pg_type'::regclass, t.oid, 0, t.oid, 'composite', t.typowner, format('%I.%I', n.nspname, t.typname),
    t.typname::text,
    jsonb_build_object(
      'attributes', (select string_agg(concat(quote_ident(a.attname), ' ', format_type(a.atttypid, a.atttypmod),
                       case when a.attcollation <> y.typcollation then ' collate ' || a.attcollation::regcollation end),
                       ', ' order by a.attnum)
                     from pg_attribute a join pg_type y on y.oid = a.atttypid
                     where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
      'undescribed', jsonb_build_object('privileges', t.typacl::text))
  from pg_type t join namespaces n on n.oid = t.typnamespace join pg_class c on c.oid = t.typrelid and c.relkind = 'c'
  where not multiserver.is_of_extension('pg_type'::regclass, t.oid)
union all
  select 'pg_type'::regclass, t.oid, 0, t.oid, 'range', t.typowner, format('%I.%I', n.nspname, t.typname),
    t.typname::text,
    jsonb_build_object(
      'options', concat('subtype = ', format_type(r.rngsubtype, null),
        case when not o.opcdefault then format(', subtype_opclass = %s.%I', o.opcnamespace::regnamespace, o.opcname) end,
        case when r.rngcollation not in (0, 100) then format(', collation = %s', r.rngcollation::regcollation) end,
        case when r.rngsubdiff <> 0 then format(', subtype_diff = %s', r.rngsubdiff::regproc) end,
        format(', multirange_type_name = %s', r.rngmultitypid::regtype)),
      'undescribed', jsonb_build_object('privileges', t.typacl::text, 'canonical', nullif(r.rngcanonical::text, '-')))
  from pg_type t join namespaces n on n.oid = t.typnamespace join pg_range r on r.rngtypid = t.oid
  join pg_opclass o on o.oid = r.rngsubopc
  where t.typtype = 'r' and not multiserver.is_of_extension('pg_type'::regclass, t.oid)
union all
  select 'pg_class'::regclass, c.oid, 0, c.oid, 'sequence', c.relowner, c.place, c.relname::text,
    jsonb_build_object('type', format_type(s.seqtypid, null), 'increment', s.seqincrement, 'cache', s.seqcache,
      'cycle', s.seqcycle,
      'owned_by', (select format('%s.%I', multiserver.qualified_name(d.refobjid), a.attname)
                   from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                   where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'a'),
      'undescribed', jsonb_build_object('privileges', c.relacl::text, 'unlogged', c.relpersistence = 'u'))
  from relations c join pg_sequence s on s.seqrelid = c.oid
  where not multiserver.is_internal('pg_class'::regclass, c.oid)  -- an identity column's sequence is part of the column
union all
  select 'pg_class'::regclass, c.oid, 0, c.oid, 'table', c.relowner, c.place, c.relname::text,
    jsonb_build_object('persistence', c.relpersistence, 'options', coalesce(to_jsonb(c.reloptions), '[]'),
      'parents', (select coalesce(jsonb_agg(inhparent::text order by inhseqno), '[]')
                  from pg_inherits where inhrelid = c.oid),
      'partition_by', pg_get_partkeydef(c.oid), 'bound', pg_get_expr(c.relpartbound, c.oid),
      'undescribed', jsonb_build_object('privileges', c.relacl::text,
        'row security', c.relrowsecurity or c.relforcerowsecurity,
        'replica identity', nullif(c.relreplident, 'd'),
        'foreign table', c.relkind = 'f', 'typed table', nullif(c.reloftype, 0)::text,
        'policies', (select jsonb_agg(to_jsonb(p) order by p.oid) from pg_policy p where polrelid = c.oid)))
  from relations c where c.relkind in ('r', 'p', 'f')
union all
  select 'pg_class'::regclass, c.oid, a.attnum, c.oid, 'column', c.relowner, c.place, a.attname::text,
    jsonb_build_object('type', format_type(a.atttypid, a.atttypmod),
      'type_id', format('%s %s', a.atttypid::oid, a.atttypmod),
      'collation', case when a.attcollation <> t.typcollation then a.attcollation::regcollation::text end,
      'not_null', a.attnotnull, 'not_null_name', k.conname, 'default', case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end,
      'generated', case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid) end,
      'generated_when', nullif(a.attgenerated, ''),
      'identity', case when not c.relispartition then nullif(a.attidentity, '') end,  -- a partition has its parent's
      'inherited', a.attinhcount > 0,
      'undescribed', jsonb_build_object('privileges', a.attacl::text, 'options', a.attoptions::text,
        'statistics', a.attstattarget, 'compression', nullif(a.attcompression, ''),
        'storage', case when a.attstorage <> t.typstorage then a.attstorage end))
  from relations c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid
  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  left join pg_constraint k on k.conrelid = a.attrelid and k.contype = 'n' and k.conkey[1] = a.attnum
  where c.relkind in ('r', 'p')
union all
  select 'pg_constraint'::regclass, k.oid, 0, c.oid, 'constraint', c.relowner, c.place, k.conname::text,
    jsonb_build_object('type', k.contype, 'definition', pg_get_constraintdef(k.oid), 'validated', k.convalidated,
      'columns', to_jsonb(k.conkey), 'index', k.conindid::text, 'inherited', k.coninhcount > 0)
  from relations c join pg_constraint k on k.conrelid = c.oid and k.contype in ('p', 'u', 'f', 'c', 'x')
  where c.relkind in ('r', 'p')  -- a foreign key to a partitioned table has one more for each partition: internal
    and not exists (select from pg_constraint up where up.oid = k.conparentid and up.conrelid = k.conrelid)
union all
  select 'pg_class'::regclass, x.oid, 0, c.oid, 'index', c.relowner, c.place, x.relname::text,
    jsonb_build_object('definition', replace(pg_get_indexdef(x.oid), ' ON ONLY ' || c.place, ' ON ' || c.place),
      'unique', i.indisunique, 'inherited', exists (select from pg_inherits where inhrelid = x.oid),
      'step', case when c.relkind = 'm' then 64 else 52 end,
      'schema', x.relnamespace::regnamespace::text,
      'undescribed', jsonb_build_object('options', x.reloptions::text))
  from relations c join pg_index i on i.indrelid = c.oid and i.indisvalid join pg_class x on x.oid = i.indexrelid
  where c.relkind in ('r', 'p', 'm')
    and not exists (select from pg_constraint k where k.conindid = x.oid and k.contype in ('p', 'u', 'x'))
union all
  select 'pg_class'::regclass, c.oid, 0, c.oid, 'view', c.relowner, c.place, c.relname::text,
    jsonb_build_object('definition', rtrim(pg_get_viewdef(c.oid), ';'),
      'options', coalesce(to_jsonb(c.reloptions), '[]'),
      'undescribed', jsonb_build_object('privileges', c.relacl::text))
  from relations c where c.relkind = 'v'
union all
  select 'pg_class'::regclass, c.oid, 0, c.oid, 'matview', c.relowner, c.place, c.relname::text,
    jsonb_build_object('definition', rtrim(pg_get_viewdef(c.oid), ';'),
      'undescribed', jsonb_build_object('privileges', c.relacl::text, 'options', c.reloptions::text))
  from relations c where c.relkind = 'm'
union all
  select 'pg_rewrite'::regclass, r.oid, 0, c.oid, 'rule', c.relowner, c.place, r.rulename::text,
    jsonb_build_object('definition', pg_get_ruledef(r.oid),
      'undescribed', jsonb_build_object('enabled', nullif(r.ev_enabled, 'O')))
  from relations c join pg_rewrite r on r.ev_class = c.oid and r.rulename <> '_RETURN'
union all
  select 'pg_proc'::regclass, p.oid, 0, p.oid, 'function', p.proowner,
    format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), p.proname::text,
    jsonb_build_object('definition', pg_get_functiondef(p.oid),
      'undescribed', jsonb_build_object('privileges', p.proacl::text))
  from pg_proc p join namespaces n on n.oid = p.pronamespace
  where p.prokind in ('f', 'p') and not multiserver.is_of_extension('pg_proc'::regclass, p.oid)
    and not multiserver.is_internal('pg_proc'::regclass, p.oid)
union all
  select 'pg_trigger'::regclass, g.oid, 0, c.oid, 'trigger', c.relowner, c.place, g.tgname::text,
    jsonb_build_object('definition', pg_get_triggerdef(g.oid), 'enabled', g.tgenabled)
  from relations c join pg_trigger g on g.tgrelid = c.oid and not g.tgisinternal and g.tgname not like 'multiserver\_%'
    and g.tgparentid = 0;  -- a partitioned table's triggers make those of its partitions

create view multiserver.parts as
  select p.class, p.object, p.column_number, p.belongs_to, p.kind, p.owner, p.place, p.name,
    case when d.description is null then p.facts
         else p.facts || jsonb_build_object('comment', d.description) end as facts
  from multiserver.parts_without_comments p
  left join pg_description d on (d.classoid, d.objoid, d.objsubid) = (p.class, p.object, p.column_number);

create table multiserver.known_parts (
  class oid not null,
  object oid not null,
  column_number integer not null,
  belongs_to oid not null,
  kind text not null,
  owner oid not null,
  place text not null,
  name text not null,
  facts jsonb not null,
  born xid8 not null default pg_current_xact_id(),
  primary key (class, object, column_number)
);
create index on multiserver.known_parts (belongs_to);
comment on table multiserver.known_parts is 'The parts of the schema as the peers know them; kept at the schema site.';
comment on column multiserver.known_parts.born is 'The transaction that made the part.';
