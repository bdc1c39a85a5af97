-- The difference between the schema as the peers know it and as it is, as statements.

-- A changed column type makes PostgreSQL rebuild constraints and indexes under new OIDs: the same parts all the same.
create function multiserver.recognize_rebuilt(touched oid[]) returns void language sql
begin atomic
  update multiserver.known_parts k set object = p.object
  from multiserver.parts p
  where k.belongs_to = any (touched) and k.kind in ('constraint', 'index') and p.belongs_to = k.belongs_to and p.kind = k.kind
    and p.name = k.name and p.object <> k.object and p.facts ->> 'definition' = k.facts ->> 'definition'
    and not exists (select from multiserver.parts x
                    where x.belongs_to = k.belongs_to and x.class = k.class and x.object = k.object);
end;

-- With a schema's name everything in it is called differently, with a type's name the columns that have it; nobody has
-- altered them. Take the new names over, and return the objects given together with those.
create function multiserver.follow_renamed(touched oid[]) returns oid[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  renamed constant oid[] := array(
    select k.object from multiserver.known_parts k join multiserver.parts p using (class, object)
    where k.object = any (touched) and k.kind in ('schema', 'enum', 'domain', 'composite', 'range')
      and k.place <> p.place);
  inside constant oid[] := array(
    select oid from pg_class where relnamespace = any (renamed)
    union all select oid from pg_proc where pronamespace = any (renamed)
    union all select oid from pg_type where typnamespace = any (renamed));
begin
  update multiserver.known_parts k set place = p.place, facts = p.facts from multiserver.parts p
    where (p.class, p.object, p.column_number) = (k.class, k.object, k.column_number) and k.belongs_to = any (inside);
  return touched || inside || array(
    select a.attrelid from pg_attribute a join multiserver.tables t on t.relation = a.attrelid
    where a.atttypid = any (renamed || inside));
end $$;

-- All tables that share columns with the tables given, because one inherits from the other or is its partition, now or
-- as the peers know it.
create function multiserver.relatives(touched oid[]) returns oid[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return array(
    with recursive links as materialized (
      select inhrelid as child, inhparent as parent from pg_inherits
      union
      select k.object, p::oid from multiserver.known_parts k, jsonb_array_elements_text(k.facts -> 'parents') p
      where k.kind = 'table'
    ), family (relation) as (
      select unnest(touched)
      union
      select case when l.child = f.relation then l.parent else l.child end
      from family f join links l on f.relation in (l.child, l.parent)
    ) select relation from family);
end $$;

-- Is it a part that a table has from its parent, and had a parent to follow already? Then the statement for the parent
-- makes, renames and retypes it, too; only its default and NOT NULL are the table's own.
create function multiserver.follows_parent(was multiserver.known_parts, part multiserver.parts) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return part.facts @> '{"inherited": true}' and exists (
    select from multiserver.known_parts k, jsonb_array_elements_text(k.facts -> 'parents') p
    where k.object = part.belongs_to and k.kind = 'table'
      and exists (select from pg_inherits where inhrelid = k.object and inhparent = p::oid));
end $$;

create type multiserver.schema_statement as (step integer, owner oid, text text);

-- All statements for the objects given, and what is known of them brought up to date.
create function multiserver.difference(touched oid[]) returns setof multiserver.schema_statement
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  pair record;
  was multiserver.known_parts;
  part multiserver.parts;
begin
  perform multiserver.recognize_rebuilt(touched);
  for pair in
    select k as was, p as part
    from (select * from multiserver.known_parts where belongs_to = any (touched)) k
    full join (select * from multiserver.parts where belongs_to = any (touched)) p
      on (p.class, p.object, p.column_number) = (k.class, k.object, k.column_number)
    where k.object is null or p.object is null
       or (k.owner, k.place, k.name, k.facts) <> (p.owner, p.place, p.name, p.facts)
    -- what was made later may refer to what was made earlier, and goes before it
    order by case when p.object is null then - k.object::bigint else p.object::bigint end,
      coalesce(p.column_number, k.column_number)
  loop
    was := pair.was;
    part := pair.part;
    if part.object is null and was.kind in ('column', 'constraint', 'index', 'trigger', 'rule')
       and not exists (select from multiserver.parts where object = was.belongs_to and column_number = 0) then
      continue;  -- gone together with its table
    elsif part.object is not null then
      perform multiserver.refuse_undescribed(was, part);
    end if;
    return query execute
      format('select step, $3, statement from multiserver.change_%s($1, $2)
              where not ($4 and step in (21, 22, 38, 41, 43, 50, 51, 52, 53, 55))', coalesce(part.kind, was.kind))
      using was, part, coalesce(part.owner, was.owner), multiserver.follows_parent(was, part);
    return query select c.step, part.owner, c.statement from multiserver.change_comment(was, part) c;
  end loop;
  delete from multiserver.known_parts k where belongs_to = any (touched)
    and not exists (select from multiserver.parts p where p.belongs_to = k.belongs_to
                    and (p.class, p.object, p.column_number) = (k.class, k.object, k.column_number));
  insert into multiserver.known_parts as k (class, object, column_number, belongs_to, kind, owner, place, name, facts)
    select class, object, column_number, belongs_to, kind, owner, place, name, facts
    from multiserver.parts where belongs_to = any (touched)
    on conflict (class, object, column_number) do update
      set owner = excluded.owner, place = excluded.place, name = excluded.name, facts = excluded.facts
      where (k.owner, k.place, k.name, k.facts) <> (excluded.owner, excluded.place, excluded.name, excluded.facts);
end $$;
