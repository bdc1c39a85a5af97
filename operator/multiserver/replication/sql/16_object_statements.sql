-- Statements for a part that is new, changed or gone; here for all but tables.
--
-- For each kind one function change_<kind>(was, part) gives the statements that lead from the known part to the present
-- one; `was` is null for a new part, `part` for a dropped one. Steps order the statements of one change:
--   9-19 drop what hangs on others, then the others;  20-29 rename;  30-39 make;  40-49 alter columns;
--   50-57 constraints and indexes;  58 parents of tables;  60-69 what refers to tables;  70 comments.

create function multiserver.schema_of(part multiserver.parts) returns text language sql immutable
  return (parse_ident(part.place, false))[1];

-- A renamed or moved object. One statement can do only one of the two.
create function multiserver.change_place(word text, was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language sql immutable
begin atomic
  select 20, case when was.name <> part.name then format('alter %s %s rename to %I', word, was.place, part.name)
                  else format('alter %s %s set schema %I', word, was.place, multiserver.schema_of(part)) end
  where was.place <> part.place;
end;

create function multiserver.change_options(word text, was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if was.facts -> 'options' is distinct from part.facts -> 'options' then
    return query select 36, format('alter %s %s reset (%s)', word, part.place, string_agg(split_part(o, '=', 1), ', '))
      from jsonb_array_elements_text(was.facts -> 'options') o
      having count(*) > 0;
    return query select 37, format('alter %s %s set (%s)', word, part.place, string_agg(o, ', '))
      from jsonb_array_elements_text(part.facts -> 'options') o
      having count(*) > 0;
  end if;
end $$;

create function multiserver.change_schema(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return query select v.step, v.statement from (values
    (19, format('drop schema %s', was.place), part.object is null),
    (20, format('alter schema %s rename to %s', was.place, part.place), was.place <> part.place),
    (30, format('create schema %s', part.place), was.object is null)) v (step, statement, wanted) where wanted;
end $$;

create function multiserver.change_extension(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return query select v.step, v.statement from (values
    (18, format('drop extension %s', was.place), part.object is null),
    (31, format('create extension %s schema %s', part.place, part.facts ->> 'schema'), was.object is null),
    (31, format('alter extension %s set schema %s', part.place, part.facts ->> 'schema'),
         was.facts ->> 'schema' <> part.facts ->> 'schema'),
    (32, format('alter extension %s update', part.place), was.facts ->> 'version' <> part.facts ->> 'version'))
    v (step, statement, wanted) where wanted;
end $$;

create function multiserver.change_enum(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if was.object is null then
    return query select 32, format('create type %s as enum (%s)', part.place,
                                   string_agg(quote_literal(label ->> 0), ', ' order by n))
      from jsonb_array_elements(part.facts -> 'labels') with ordinality as l (label, n);
  elsif part.object is null then
    return query select 17, format('drop type %s', was.place);
  else
    return query select * from multiserver.change_place('type', was, part);
    return query  -- labels are known by their OIDs, so a renamed one is still the same
      with old as (select label ->> 0 as name, label ->> 1 as id from jsonb_array_elements(was.facts -> 'labels') label),
      new as (select label ->> 0 as name, label ->> 1 as id, n,
                lag(label ->> 0) over (order by n) as previous, lead(label ->> 0) over (order by n) as next
              from jsonb_array_elements(part.facts -> 'labels') with ordinality as l (label, n))
      select 33, case when old.id is null
        then format('alter type %s add value %L %s', part.place, new.name,
               case when new.previous is null then 'before ' || quote_literal(new.next)
                    else 'after ' || quote_literal(new.previous) end)
        else format('alter type %s rename value %L to %L', part.place, old.name, new.name) end
      from new left join old using (id) where old.name is distinct from new.name order by new.n;
  end if;
end $$;

create function multiserver.change_domain(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if part.object is null then
    return query select 17, format('drop domain %s', was.place);
  elsif was.object is null then
    return query select 33, concat('create domain ', part.place, ' as ', part.facts ->> 'type',
      ' collate ' || (part.facts ->> 'collation'), ' default ' || (part.facts ->> 'default'),
      case when (part.facts ->> 'not_null')::boolean then ' not null' end,
      (select string_agg(format(' constraint %I %s', key, value), '' order by key)
       from jsonb_each_text(part.facts -> 'checks')));
  else
    return query select * from multiserver.change_place('domain', was, part);
    if not (was.facts -> 'checks' @> (part.facts -> 'checks'))
       or (part.facts ->> 'not_null')::boolean and not (was.facts ->> 'not_null')::boolean then
      perform multiserver.refuse(format('a new rule of domain %s', part.place),
        'Make a new domain with the rule, and columns of it.');
    end if;
    return query select 33, format('alter domain %s drop not null', part.place)
      where (was.facts ->> 'not_null')::boolean and not (part.facts ->> 'not_null')::boolean;
    return query select 33, format('alter domain %s drop constraint %I', part.place, name)
      from jsonb_object_keys(was.facts -> 'checks') name where not part.facts -> 'checks' ? name;
    return query select 33, format('alter domain %s %s', part.place,
        coalesce('set default ' || (part.facts ->> 'default'), 'drop default'))
      where was.facts -> 'default' <> part.facts -> 'default';
  end if;
end $$;

create function multiserver.change_composite(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if part.object is null then
    return query select 17, format('drop type %s', was.place);
  elsif was.object is null then
    return query select 33, format('create type %s as (%s)', part.place, part.facts ->> 'attributes');
  elsif was.facts -> 'attributes' <> part.facts -> 'attributes' then
    perform multiserver.refuse(format('a change of the attributes of type %s', part.place),
      'Make a new type, a column of it, and drop the old one.');
  end if;
  return query select * from multiserver.change_place('type', was, part) where was.object is not null;
end $$;

create function multiserver.change_range(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if part.object is null then
    return query select 17, format('drop type %s', was.place);
  elsif was.object is null then
    return query select 33, format('create type %s as range (%s)', part.place, part.facts ->> 'options');
  else
    return query select * from multiserver.change_place('type', was, part);
  end if;
end $$;

-- MINVALUE, MAXVALUE and START are described when the sequence is made, as the application wrote them; afterwards each
-- site has its own (13_number_ranges.sql).
create function multiserver.change_sequence(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  options constant text := format('as %s increment %s cache %s %scycle', part.facts ->> 'type',
    part.facts ->> 'increment', part.facts ->> 'cache', case when (part.facts ->> 'cycle')::boolean then '' else 'no ' end);
begin
  if part.object is null then
    return query select 16, format('drop sequence if exists %s', was.place);  -- it may have gone with its table
    return;
  elsif was.object is null then
    return query select 34, format('create sequence %s %s minvalue %s maxvalue %s start %s', part.place, options,
                                   seqmin, seqmax, seqstart)
      from pg_sequence where seqrelid = part.object;
  else
    return query select * from multiserver.change_place('sequence', was, part);
    return query select 34, format('alter sequence %s %s', part.place, options)
      where (was.facts - 'owned_by' - 'undescribed') <> (part.facts - 'owned_by' - 'undescribed');
  end if;
  return query select 60, format('alter sequence %s owned by %s', part.place, coalesce(part.facts ->> 'owned_by', 'none'))
    where was.facts ->> 'owned_by' is distinct from part.facts ->> 'owned_by';
end $$;

create function multiserver.change_view(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if part.object is null then
    return query select 11, format('drop view %s', was.place);
  else
    return query select * from multiserver.change_place('view', was, part) where was.object is not null;
    return query select 61, format('create or replace view %s%s as %s', part.place,
        ' with (' || (select string_agg(o, ', ') from jsonb_array_elements_text(part.facts -> 'options') o) || ')',
        part.facts ->> 'definition')
      where was.facts ->> 'definition' is distinct from part.facts ->> 'definition';
  end if;
end $$;

-- Its rows are made at each site from that site's tables, so they are as old there as its last REFRESH.
create function multiserver.change_matview(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if part.object is null or was.facts ->> 'definition' <> part.facts ->> 'definition' then
    return query select 11, format('drop materialized view %s', was.place);
  end if;
  return query select * from multiserver.change_place('materialized view', was, part)
    where was.facts ->> 'definition' = part.facts ->> 'definition';
  return query select 61, format('create materialized view %s as %s', part.place, part.facts ->> 'definition')
    where part.object is not null and was.facts ->> 'definition' is distinct from part.facts ->> 'definition';
end $$;

create function multiserver.change_rule(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return query select 10, format('drop rule %I on %s', was.name, was.place)
    where part.object is null or was.facts ->> 'definition' <> part.facts ->> 'definition';
  return query select 62, part.facts ->> 'definition'
    where part.object is not null and was.facts ->> 'definition' is distinct from part.facts ->> 'definition';
end $$;

create function multiserver.change_function(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if part.object is null then
    return query select 16, format('drop routine %s', was.place);
  else
    return query select * from multiserver.change_place('routine', was, part) where was.object is not null;
    return query select 39, part.facts ->> 'definition'
      where was.facts ->> 'definition' is distinct from part.facts ->> 'definition';
  end if;
end $$;

create function multiserver.change_trigger(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if part.object is null or (was.object is not null and was.facts ->> 'definition' <> part.facts ->> 'definition') then
    return query select 10, format('drop trigger %I on %s', was.name, was.place);
  end if;
  return query select 62, part.facts ->> 'definition'
    where part.object is not null and was.facts ->> 'definition' is distinct from part.facts ->> 'definition';
  return query select 63, format('alter table %s %s trigger %I', part.place,
      case part.facts ->> 'enabled' when 'D' then 'disable' when 'R' then 'enable replica'
                                    when 'A' then 'enable always' else 'enable' end,
      part.name)
    where part.object is not null and coalesce(was.facts ->> 'enabled', 'O') <> part.facts ->> 'enabled';
end $$;

create function multiserver.change_comment(was multiserver.known_parts, part multiserver.parts)
returns table (step integer, statement text) language sql stable
begin atomic
  select 70, format('comment on %s %s is %L', regexp_replace(i.type, '^table (column|constraint)$', '\1'), i.identity,
                    part.facts ->> 'comment')
  from pg_identify_object(part.class, part.object, part.column_number) i
  where part.object is not null and part.kind <> 'extension'
    and was.facts ->> 'comment' is distinct from part.facts ->> 'comment';
end;
