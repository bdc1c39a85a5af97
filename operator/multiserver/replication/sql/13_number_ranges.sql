-- Number ranges: each sequence draws from its own range at each site, so no two sites ever draw the same number.
--
-- A sequence's numbers are cut into 64 blocks of equal size; the site with server number n draws from block n. Blocks
-- rather than strides: INCREMENT stays what the application asked for (Hibernate steps by 50), and numbers of one site
-- stay close together. What is cut up:
--   * the limits that the application declared, if it did;
--   * 1 to 2^53 if only bigint columns are fed (numbers that JavaScript can still hold): 2^47 per site;
--   * 1 to 2^31 otherwise, also when nothing says what the sequence feeds: 33 million per site;
--   * 1 to 2^15 for smallint: 511 per site.
-- The resource's numberRanges replace a site's block. They are kept by name, so that they hold from a sequence's first
-- number, however long after the declaration it is created.
--
-- Invariant: a counter never goes back. A range that ends below the last number drawn is refused.

create table multiserver.number_ranges (
  sequence oid primary key,
  range_from bigint not null,
  range_to bigint not null,
  is_declared boolean not null default false,
  limit_from bigint not null,
  limit_to bigint not null,
  check (range_from < range_to)
);
comment on table multiserver.number_ranges is 'The range of each sequence at this site.';
comment on column multiserver.number_ranges.limit_from is
  'MINVALUE, and limit_to MAXVALUE, that the sequence had before it got a range.';
comment on column multiserver.number_ranges.is_declared is 'From the resource''s numberRanges; otherwise the block.';

create table multiserver.declared_ranges (
  name text primary key,
  range_from bigint not null,
  range_to bigint not null,
  check (range_from < range_to)
);
comment on table multiserver.declared_ranges is
  'This site''s ranges from the resource''s numberRanges, by sequence name.';

create function multiserver.greatest_number_of(type oid) returns bigint language sql immutable
  return case type when 'int2'::regtype then 32767 when 'int4'::regtype then 2147483647 else 9007199254740991 end;

-- The columns that a sequence feeds: by a default that draws from it, or because they own it.
create function multiserver.fed_columns(p_sequence oid)
returns table (relation oid, column_name name, type oid) language sql stable
begin atomic
  select a.attrelid, a.attname, a.atttypid
  from pg_depend d join pg_attrdef f on f.oid = d.objid
  join pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
  where d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = p_sequence
  union
  select a.attrelid, a.attname, a.atttypid
  from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
  where d.classid = 'pg_class'::regclass and d.objid = p_sequence and d.refclassid = 'pg_class'::regclass
    and d.deptype in ('a', 'i') and d.refobjsubid > 0;
end;

-- The greatest number that the sequence and everything it feeds can hold.
create function multiserver.greatest_number(p_sequence oid) returns bigint language sql stable
  return (select least(multiserver.greatest_number_of(s.seqtypid),
            coalesce((select min(multiserver.greatest_number_of(f.type)) from multiserver.fed_columns(p_sequence) f),
                     2147483647))
          from pg_sequence s where s.seqrelid = p_sequence);

create type multiserver.number_range as (range_from bigint, range_to bigint);

-- Block `number` of 64, inside the limits that the sequence has now (the application's own, or the type's).
create function multiserver.block(p_sequence oid, number integer) returns multiserver.number_range
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  s pg_sequence := (select x from pg_sequence x where seqrelid = p_sequence);
  blocks constant integer := 64;
  lowest bigint := s.seqmin;
  highest bigint := s.seqmax;
  size bigint;
begin
  if s.seqincrement > 0 then
    highest := least(highest, multiserver.greatest_number(p_sequence));
  else
    lowest := greatest(lowest, -multiserver.greatest_number(p_sequence));
  end if;
  size := (highest - lowest + 1) / blocks;
  if number > blocks or size < 2 then
    raise exception using errcode = 'MS020',
      message = format('sequence %s: %s sites need at least 2 ids each, column is %s: only %s left', p_sequence::regclass,
        blocks, format_type(coalesce((select f.type from multiserver.fed_columns(p_sequence) f
                                      order by multiserver.greatest_number_of(f.type) limit 1), s.seqtypid), null),
        greatest(highest - lowest + 1, 0)),
      hint = 'Give it wider limits or a wider column, or list the ranges of all sites in numberRanges.';
  end if;
  return case when s.seqincrement > 0
    then row(lowest + (number - 1) * size, lowest + number * size - 1)::multiserver.number_range
    else row(highest - number * size + 1, highest - (number - 1) * size)::multiserver.number_range end;
end $$;

create function multiserver.last_number(p_sequence oid) returns bigint language sql volatile
  return pg_sequence_last_value(p_sequence::regclass);

-- Make a sequence draw from a range. The next number is the present counter's if it lies inside; a sequence never used
-- keeps its START if that lies inside; otherwise it is the beginning of the range. A sequence that was told where to go on
-- (RESTART, setval) and has given no number since is not one that was never used.
create function multiserver.confine(p_sequence oid, range multiserver.number_range) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  s pg_sequence := (select x from pg_sequence x where seqrelid = p_sequence);
  at record;
  is_new boolean;
  beginning bigint := case when s.seqincrement > 0 then range.range_from else range.range_to end;
  start bigint := case when s.seqstart between range.range_from and range.range_to then s.seqstart else beginning end;
begin
  execute format('select last_value, is_called from %s', multiserver.qualified_name(p_sequence)) into at;
  is_new := not at.is_called and at.last_value = s.seqstart;
  if not is_new and (s.seqincrement > 0 and at.last_value > range.range_to
                     or s.seqincrement < 0 and at.last_value < range.range_from) then
    raise exception using errcode = 'MS020',
      message = format('sequence %s is at %s already and cannot go back to the range %s to %s', p_sequence::regclass,
                       at.last_value, range.range_from, range.range_to),
      hint = 'List a range that lies further on for each site in numberRanges, or give it a wider column.';
  end if;
  execute format('alter sequence %s minvalue %s maxvalue %s start %s%s', p_sequence::regclass, range.range_from,
    range.range_to, start,
    case when is_new or at.last_value not between range.range_from and range.range_to
         then format(' restart %s', case when is_new then start else beginning end) else '' end);
end $$;

-- Give every sequence of the application the range that is declared for it, else the one it has, else its block; and put
-- a range back that a statement has changed.
create function multiserver.assign_number_ranges() returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  s record;
begin
  delete from multiserver.number_ranges r where not exists (select from pg_class c where c.oid = r.sequence);
  for s in
    select q.seqrelid as sequence, d.name is not null as is_declared, q.seqmin, q.seqmax,
      coalesce(d.range_from, r.range_from) as range_from, coalesce(d.range_to, r.range_to) as range_to
    from pg_sequence q join pg_class c on c.oid = q.seqrelid
    left join multiserver.number_ranges r on r.sequence = q.seqrelid
    left join multiserver.declared_ranges d on to_regclass(d.name) = q.seqrelid
    where c.relpersistence = 'p' and multiserver.is_application_schema(c.relnamespace)
      and pg_has_role('multiserver_engine', c.relowner, 'USAGE')
      and (coalesce(d.range_from, r.range_from), coalesce(d.range_to, r.range_to), d.name is not null)
          is distinct from (q.seqmin, q.seqmax, r.is_declared)
  loop
    if s.range_from is null then
      select b.range_from, b.range_to into s.range_from, s.range_to
      from multiserver.block(s.sequence, multiserver.server_number()) b;
    end if;
    perform multiserver.confine(s.sequence, row(s.range_from, s.range_to)::multiserver.number_range);
    insert into multiserver.number_ranges (sequence, range_from, range_to, is_declared, limit_from, limit_to)
      values (s.sequence, s.range_from, s.range_to, s.is_declared, s.seqmin, s.seqmax)
      on conflict (sequence) do update set range_from = excluded.range_from, range_to = excluded.range_to,
        is_declared = excluded.is_declared;
  end loop;
end $$;

-- A sequence keeps its range when another column begins to draw from it, or a column gets a smaller type. If the range does
-- not fit the column, other sites could not insert at all: their blocks lie further on.
create function multiserver.refuse_ranges_beyond_columns() returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  r record;
begin
  for r in
    select n.sequence, f.relation, f.column_name, f.type, greatest(abs(n.range_from), abs(n.range_to)) as greatest
    from multiserver.number_ranges n cross join lateral multiserver.fed_columns(n.sequence) f
    where greatest(abs(n.range_from), abs(n.range_to)) > multiserver.greatest_number_of(f.type)
  loop
    raise exception using errcode = 'MS020',
      message = format('column %s.%I is %s, but sequence %s gives numbers up to %s at this site, and greater ones at others',
                       multiserver.qualified_name(r.relation), r.column_name, format_type(r.type, null),
                       multiserver.qualified_name(r.sequence), r.greatest),
      hint = 'Make the column bigint, or let it draw from a sequence of its own.';
  end loop;
end $$;

-- Take over the ranges that the resource declares for this site: {"public.patient_number": {"from": 1, "to": 9}, ...}.
-- A sequence that is no longer named keeps the range it has. Returns whether anything changed.
create function multiserver.declare_number_ranges(ranges jsonb) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  before constant text := (select jsonb_agg(d order by name)::text from multiserver.declared_ranges d);
begin
  delete from multiserver.declared_ranges where not ranges ? name;
  insert into multiserver.declared_ranges as d (name, range_from, range_to)
    select key, (value ->> 'from')::bigint, (value ->> 'to')::bigint from jsonb_each(ranges)
    on conflict (name) do update set range_from = excluded.range_from, range_to = excluded.range_to
    where (d.range_from, d.range_to) <> (excluded.range_from, excluded.range_to);
  perform multiserver.assign_number_ranges();
  return before is distinct from (select jsonb_agg(d order by name)::text from multiserver.declared_ranges d);
end $$;

create view multiserver.sequence_usage as
  select u.name, u.range_from, u.range_to, u.last_value, u.is_declared,
    case when u.last_value is null then 0
         when u.increment > 0 then round(100.0 * (u.last_value - u.range_from + 1) / (u.range_to - u.range_from + 1), 2)
         else round(100.0 * (u.range_to - u.last_value + 1) / (u.range_to - u.range_from + 1), 2) end as percent_used
  from (select multiserver.qualified_name(r.sequence) as name, r.range_from, r.range_to, r.is_declared,
          multiserver.last_number(r.sequence) as last_value, s.seqincrement as increment
        from multiserver.number_ranges r join pg_sequence s on s.seqrelid = r.sequence) u;
comment on view multiserver.sequence_usage is 'How much of each range this site has used.';

-- Take the ranges away, as if no sequence had ever been used: a copied database draws none of its donor's numbers. The
-- site's own ranges come with the next assign_number_ranges().
create function multiserver.release_number_ranges() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  r record;
begin
  for r in
    select n.sequence, n.limit_from, n.limit_to, case when q.seqincrement > 0 then n.limit_from else n.limit_to end as start
    from multiserver.number_ranges n join pg_sequence q on q.seqrelid = n.sequence
  loop
    execute format('alter sequence %s minvalue %s maxvalue %s start %s restart', r.sequence::regclass, r.limit_from,
                   r.limit_to, r.start);
  end loop;
  delete from multiserver.number_ranges;
  delete from multiserver.declared_ranges;
end $$;

-- Go on behind all numbers of this site's ranges that are known to be given. For a site whose database does not know the
-- last number that it gave: what its peers have brought back tells most, and a margin covers what they never got, unless
-- more was drawn since. A range of which no number was ever seen begins at its beginning.
create function multiserver.continue_numbers() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  margin constant bigint := 1000;
  r record;
  fed record;
  seen bigint;
  last bigint;
begin
  perform multiserver.assign_number_ranges();
  for r in
    select n.*, q.seqincrement as step, sign(q.seqincrement)::integer as way,
      least(margin * abs(q.seqincrement), (n.range_to - n.range_from) / 100) as distance
    from multiserver.number_ranges n join pg_sequence q on q.seqrelid = n.sequence
  loop
    last := multiserver.last_number(r.sequence);
    for fed in select * from multiserver.fed_columns(r.sequence) loop
      execute format('select %s(%I)::bigint from %s where %2$I between $1 and $2',
                     case when r.way > 0 then 'max' else 'min' end, fed.column_name, fed.relation::regclass)
        into seen using r.range_from, r.range_to;
      last := case when r.way > 0 then greatest(last, seen) else least(last, seen) end;
    end loop;
    if last is not null then
      perform setval(r.sequence::regclass,
                     greatest(r.range_from, least(r.range_to, last + r.way * r.distance)));
    end if;
  end loop;
end $$;
