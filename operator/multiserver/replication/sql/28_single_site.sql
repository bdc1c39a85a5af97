-- A cluster of one site pays nothing: without peers no table has capture triggers, and nothing is sent.
--
-- Peers are all other sites that are declared, and those that have left but are still linked: until the last link is gone
-- their events may arrive, and a change made here must be known to the register to stand against them.
--
-- When the first peer appears, the triggers are made while the application goes on: each waits for the transactions that
-- write the table, and all are there once configure_site has committed, so every change is either in the copy that the
-- new site is made from or in the journal. Rows that are there already have no version. When the last peer has gone, the
-- triggers go, and the registers with them: nothing is under way any more, and what they say would soon be wrong.

create function multiserver.has_peers() returns boolean language sql stable
  return (select count(*) from multiserver.sites) > 1
    or exists (select from multiserver.links) or exists (select from multiserver.slots);

-- Have capture triggers if and only if there are peers. Called whenever sites were added, or a link is gone for good.
create function multiserver.follow_membership() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  wanted constant boolean := multiserver.has_peers();
  t record;
begin
  for t in select x.table_id, x.relation from multiserver.tables x
           where x.relation is not null and wanted is distinct from multiserver.is_captured(x.relation)
           order by x.table_id loop
    if wanted then
      perform multiserver.create_triggers(t.table_id);
      update multiserver.tables set unsent_rows = false where table_id = t.table_id;  -- the copy has them
    else
      perform multiserver.drop_triggers(t.relation);
      if to_regclass(format('multiserver.register_%s', t.table_id)) is not null then
        execute format('truncate multiserver.register_%s', t.table_id);
      end if;
    end if;
  end loop;
end $$;

create function multiserver.is_captured(relation oid) returns boolean language sql stable
  return exists (select from pg_trigger where tgrelid = relation and tgname like 'multiserver\_%' and tgparentid = 0);

create function multiserver.create_triggers(p_table_id integer) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  variables constant jsonb := multiserver.template_variables(p_table_id);
begin
  if (variables ->> 'key_count')::integer = 0 then
    perform multiserver.create_append_triggers(variables);
  else
    perform multiserver.create_capture_triggers(variables);
  end if;
end $$;

create function multiserver.drop_triggers(relation oid) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  trigger_name name;
begin
  for trigger_name in select tgname from pg_trigger
                      where tgrelid = relation and tgname like 'multiserver\_%' and tgparentid = 0 loop
    execute format('drop trigger %I on %s', trigger_name, multiserver.qualified_name(relation));
  end loop;
end $$;
