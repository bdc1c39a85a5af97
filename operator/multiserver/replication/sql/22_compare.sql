-- Comparing two sites, and handing a peer what it lacks.
--
-- Slots carry every change, so sites that can talk end equal without this. It is here for what slots cannot do: close the
-- gap behind a slot that was lost, fill a site that was copied or came back, and prove that two sites are equal.
--
-- To fetch what is lacking, versions are enough: a key that was not changed since the collected horizon is lacking nowhere,
-- so only registers are read, however large the tables. To prove that sites are equal, whether a row is present is compared
-- too, parked rows being present, and a hash of its text (but for rows that this site refuses: it may not be able to read
-- them). Keys fall into buckets by their hash, and a bucket's checksum is the exclusive or of its keys' states: one
-- sequential pass, a few bytes a bucket on the line. Only for buckets that differ are single keys named, and only rows of
-- keys that differ travel.
--
-- Register rows up to the collected horizon may be gone at one site and still be there at the other. So up to the
-- greater of both horizons a key has the version 0 and only its presence counts.
--
-- In tables without key (27_tables_without_key.sql) the events that added rows take the place of keys: they are compared
-- by their names, and handed over whole.
--
-- Invariants
--   * Equal states give equal checksums at every site: keys are hashed by the function that agrees with the key's
--     equality (1.0 and 1.00 are one numeric key), contents by their text under fixed settings in the layout's order of
--     columns, and nothing that differs between sites goes in (no OID, no physical order, no time zone).
--   * All that one call returns is of one snapshot. A call for another schema version than the site has is refused (MS040).
--   * What is handed over is an event with its original version and base. Merging it twice, late, or beside the same
--     event from the stream changes nothing the second time; and nothing of it is written to the journal, so nothing loops.
--
-- Text of rows is read back into types here, which drags the application's code along (domains). So these functions run
-- as multiserver_apply, like a merge: 61_compare_rights.sql makes it their owner.

create table multiserver.verifications (
  peer_number integer primary key,
  incarnation uuid not null,
  result jsonb not null
);
comment on table multiserver.verifications is
  'How the last comparison with each peer ended (api/report.py), and in which incarnation of this site.';

-- The hash that agrees with the equality of a key column; `column_number` also makes (1, 2) differ from (2, 1).
create function multiserver.key_column_hash(key_index oid, column_number integer) returns text
language sql stable
  return (select case when f.oid is null  -- such as enums, whose own hash is that of an OID
                      then format('hashtextextended(textin(record_out(row(k%1$s))), %1$s)', column_number)
                      else format('%I.%I(k%s, %3$s)', n.nspname, f.proname, column_number) end
          from pg_index i
          join pg_opclass c on c.oid = i.indclass[column_number - 1]
          join pg_type t on t.oid = c.opcintype
          left join pg_opclass h on h.opcintype = c.opcintype and h.opcdefault and t.typtype <> 'p'
            and h.opcmethod = (select oid from pg_am where amname = 'hash')
          left join pg_amproc p on p.amprocfamily = h.opcfamily and p.amproclefttype = h.opcintype
            and p.amprocrighttype = h.opcintype and p.amprocnum = 2
          left join pg_proc f on f.oid = p.amproc
          left join pg_namespace n on n.oid = f.pronamespace
          where i.indexrelid = key_index);

-- The columns whose text is a row's content: not the key, which is hashed by its equality, and none that makes itself.
create function multiserver.content_columns(p_table_id integer) returns text
language sql stable
  return (select coalesce(string_agg(format('t.%I', a.attname), ', ' order by array_position(l.column_names, a.attname::text)), '')
          from multiserver.tables t join multiserver.layouts l using (table_id, layout)
          join pg_attribute a on a.attrelid = t.relation and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
          where t.table_id = p_table_id
            and not exists (select from pg_index i where i.indrelid = t.relation and i.indisprimary
                            and a.attnum = any (i.indkey)));

-- The condition that the register row r has the key whose text fields are `alias`.f1, f2, ...
create function multiserver.register_is_text(p_table_id integer, alias text) returns text
language sql stable
  return (select string_agg(format('r.k%1$s %2$s %3$s.f%1$s::%4$s', k.n, multiserver.equality(i.indexrelid, k.n), alias,
                                   format_type(a.atttypid, a.atttypmod)), ' and ' order by k.n)
          from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum > 0 and not a.attisdropped
          cross join lateral (select substr(a.attname, 2)::integer as n where a.attname ~ '^k[0-9]+$') k
          where i.indrelid = format('multiserver.register_%s', p_table_id)::regclass and i.indisprimary);

-- The states of a table's keys as a query: key_hash, k1, ..., version, present, content. Its parameter $1 is the collected
-- horizon. Without contents it gives the keys that have a version above it; with contents all keys but those that are
-- absent and have no version: they are not told apart from unknown ones.
create function multiserver.states_query(p_table_id integer, with_content boolean) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  register constant oid := to_regclass(format('multiserver.register_%s', p_table_id));
  key_index constant oid := (select indexrelid from pg_index where indrelid = register and indisprimary);
  v jsonb := multiserver.template_variables(p_table_id);
begin
  if register is null then
    return multiserver.render($template$
      select uuid_hash_extended(event, 1) as key_hash, event as k1, version, true as present, null::bigint as content
      from multiserver.appended where table_id = {id} and version > $1$template$, v);
  end if;
  v := v || (
    select jsonb_build_object(
      'key_hash', string_agg(multiserver.key_column_hash(key_index, n), ' # ' order by n),
      'either_key', string_agg(format('coalesce(r.k%1$s, s.k%1$s) as k%1$s', n), ', ' order by n),
      'r_is_s', string_agg(format('r.k%1$s %2$s s.k%1$s', n, multiserver.equality(key_index, n)), ' and ' order by n),
      'key_of_r', string_agg(format('r.k%s', n), ', ' order by n),
      'r_is_parked', multiserver.register_is_text(p_table_id, 'parked'))
    from generate_series(1, (v ->> 'key_count')::integer) as n);
  if not with_content then
    return multiserver.render($template$
      select {key_hash} as key_hash, {key_of_r}, version, not deleted as present, null::bigint as content
      from {register} r where version > $1$template$, v);
  end if;
  return multiserver.render($template$
    select {key_hash} as key_hash, key.*
    from (select {either_key}, case when r.version > $1 then r.version else 0 end as version,
            s.present is not null as present, s.content
          from {register} r
          full join (
            select {key_of_t}, true, {content} from only {table} t
            union all
            select {key_of_r}, true, case when p.sqlstate is null then (
              select {content} from (select (x.r).* from (
                select multiserver.translate(p.table_id, p.layout, p.image)::{table} as r offset 0) x) t) end
            from multiserver.parked p
            cross join lateral (select (p.key::multiserver.fields_{key_count}).*) parked
            join {register} r on {r_is_parked} and r.version = p.version and not r.deleted
            where p.table_id = {id}
          ) as s ({register_key}, present, content) on {r_is_s}) as key
    where present or version > 0$template$, v || jsonb_build_object('content', format(
      'hashtextextended(textin(record_out(row(%s))), 0)', multiserver.content_columns(p_table_id))));
end $$;

create function multiserver.require_schema(wanted bigint) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  present constant bigint := (select version from multiserver.schema_state);
begin
  if present <> wanted then
    raise exception using errcode = 'MS040',
      message = format('site %s has schema version %s, not %s: waiting until both sites have the same',
                       multiserver.site_name(multiserver.server_number()), present, wanted);
  end if;
end $$;

-- What a comparison begins with: one JSON document. `heard` has for each site the time, by that site's own clock, up to
-- which its changes are known here; times are microseconds since 1970. `births` are those of this site's slots, `fetched`
-- those up to which this site is known to be complete (21_links.sql).
create function multiserver.comparable() returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return jsonb_build_object(
    'site', multiserver.server_number(),
    'schema', (select version from multiserver.schema_state),
    'horizon', coalesce(multiserver.collected_horizon(), 0),
    'births', coalesce((select jsonb_object_agg(peer_number, birth) from multiserver.slots), '{}'),
    'fetched', coalesce((select jsonb_object_agg(peer_number, slot_birth) from multiserver.links
                         where doubted_at is null), '{}'),
    'heard', coalesce((select jsonb_object_agg(server_number, (date_part('epoch', sent_at) * 1000000)::bigint)
                       from multiserver.heartbeats), '{}')
             || jsonb_build_object(multiserver.server_number(), multiserver.wall_clock()),
    'tables', coalesce((
      select jsonb_agg(jsonb_build_object('id', t.table_id, 'name', t.name, 'unsent', t.unsent_rows,
               'rows', greatest(c.reltuples, r.reltuples, pg_relation_size(r.oid) / 64, 0)::bigint) order by t.table_id)
      from multiserver.tables t join pg_class c on c.oid = t.relation
      left join pg_class r on r.oid = to_regclass(format('multiserver.register_%s', t.table_id))), '[]'));
end $$;

-- A checksum for each bucket that has keys. The number of buckets is a power of two.
create function multiserver.checksums(
  p_table_id integer, schema_version bigint, horizon bigint, buckets integer, with_content boolean)
returns table (bucket integer, keys bigint, checksum bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
  set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set extra_float_digits = 1 set lc_monetary = 'C'
  set bytea_output = 'hex' set timezone = 'UTC' set jit = off set max_parallel_workers_per_gather = 0 as $$
begin
  perform multiserver.require_schema(schema_version);
  return query execute format($query$
    select (key_hash & ($2 - 1))::integer, count(*), bit_xor(
      hashint8extended(case when present then version else -version end, key_hash)
      # coalesce(hashint8extended(content, key_hash), 0))
    from (%s) as state group by 1$query$, multiserver.states_query(p_table_id, with_content))
    using horizon, buckets;
end $$;

-- The single states in some buckets.
create function multiserver.states(
  p_table_id integer, schema_version bigint, horizon bigint, buckets integer, with_content boolean, chosen integer[])
returns table (key_hash bigint, key text, version bigint, present boolean, content bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
  set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set extra_float_digits = 1 set lc_monetary = 'C'
  set bytea_output = 'hex' set timezone = 'UTC' set jit = off set max_parallel_workers_per_gather = 0 as $$
begin
  perform multiserver.require_schema(schema_version);
  return query execute format($query$
    select key_hash, textin(record_out(row(%s))), version, present, content
    from (%s) as state where (key_hash & ($2 - 1))::integer = any ($3)$query$,
    coalesce(multiserver.template_variables(p_table_id) ->> 'register_key', 'k1'),
    multiserver.states_query(p_table_id, with_content))
    using horizon, buckets, chosen;
end $$;

-- The present state of the keys in the array $1 as row events, as a query: position, version, base, layout, kind, image.
-- For tables without key the image is the whole content of an event, as text.
create function multiserver.events_query(p_table_id integer) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  v constant jsonb := multiserver.template_variables(p_table_id);
begin
  if (v ->> 'key_count')::integer = 0 then
    return $query$
      select k.position, a.version, null::bigint, a.layout, 'A', textin(array_out(textin(uuid_out(a.event)) || a.content))
      from unnest($1) with ordinality as k (key, position)
      join multiserver.appended a on a.event = btrim(k.key, '()')::uuid
      order by k.position$query$;
  end if;
  return multiserver.render($template$
    select k.position, r.version, r.base, case when {fits} then {layout} end,
      case when r.deleted then 'D' else 'I' end,
      case when r.deleted then k.key else coalesce(stored.image, parked.image) end
    from unnest($1) with ordinality as k (key, position)
    cross join lateral (select (k.key::multiserver.fields_{key_count}).*) asked
    join {register} r on {r_is_asked}
    left join lateral (select textin(record_out(t.*)) as image from only {table} t where {r_is_t}) stored on true
    left join lateral (select multiserver.translate(p.table_id, p.layout, p.image) as image from multiserver.parked p
                       cross join lateral (select (p.key::multiserver.fields_{key_count}).*) parked
                       where p.table_id = {id} and p.version = r.version and {r_is_parked}) parked on true
    where r.deleted or coalesce(stored.image, parked.image) is not null
    order by k.position$template$, v || jsonb_build_object(
      'r_is_asked', multiserver.register_is_text(p_table_id, 'asked'),
      'r_is_parked', multiserver.register_is_text(p_table_id, 'parked')));
end $$;

-- Row events for some keys, one a key and at its position among those asked for, until their text exceeds `bytes_max`; the
-- first is always given. A key without a register row has no version that could be merged, so none is given for it.
create function multiserver.events_of(p_table_id integer, schema_version bigint, asked text[], bytes_max bigint)
returns table ("position" bigint, version bigint, base bigint, layout bigint, kind "char", image text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
  set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set extra_float_digits = 1 set lc_monetary = 'C'
  set jit = off set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
#variable_conflict use_column
declare
  bytes bigint := 0;
begin
  perform multiserver.require_schema(schema_version);
  for "position", version, base, layout, kind, image in execute multiserver.events_query(p_table_id) using asked loop
    bytes := bytes + length(image);
    exit when bytes > bytes_max and bytes > length(image);
    return next;
  end loop;
end $$;

-- Merge what a peer's events_of gave: one element a row. The caller, a superuser, has set session_replication_role =
-- replica. Deletions come first: they may free unique values for the rows.
create function multiserver.merge_pulled(
  p_table_id integer, versions bigint[], bases bigint[], layouts bigint[], kinds "char"[], images text[])
returns void language plpgsql security definer set search_path = pg_catalog, pg_temp
  set datestyle = 'ISO, MDY' set intervalstyle = 'postgres' set extra_float_digits = 1 set lc_monetary = 'C'
  set xmloption = content set array_nulls = on set enable_seqscan = off set lock_timeout = 0 as $$
declare
  part record;
begin
  if current_setting('session_replication_role') <> 'replica' then
    raise exception 'rows are merged with session_replication_role = replica only: they would be captured again';
  end if;
  perform multiserver.lock_merging();
  for part in
    select layout, kind, array_agg(version) as versions, array_agg(base) as bases, array_agg(image) as images
    from unnest(versions, bases, layouts, kinds, images) as e (version, base, layout, kind, image)
    group by layout, kind order by layout, kind <> 'D'
  loop
    if part.kind = 'A' then
      perform multiserver.merge_appended(p_table_id, part.layout, part.versions, part.images);
    else
      perform multiserver.merge_any_rows(p_table_id, part.layout, part.kind, part.versions, part.bases, part.images);
    end if;
  end loop;
end $$;

grant execute on function
  multiserver.comparable(),
  multiserver.checksums(integer, bigint, bigint, integer, boolean),
  multiserver.states(integer, bigint, bigint, integer, boolean, integer[]),
  multiserver.events_of(integer, bigint, text[], bigint)
  to multiserver_peer;
