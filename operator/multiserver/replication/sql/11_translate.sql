-- Row images written under an older layout, brought to the present one.
--
-- Columns are followed by their numbers: a renamed column keeps its value, a dropped one falls away, an added one takes
-- the value that PostgreSQL gave to the rows that were there already.

create function multiserver.translate(p_table_id integer, p_layout bigint, image text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  old_layout multiserver.layouts;
  new_layout multiserver.layouts;
  old_values text[];
  result text;
begin
  select l.* into new_layout from multiserver.layouts l join multiserver.tables t using (table_id, layout)
    where t.table_id = p_table_id;
  if new_layout.layout = p_layout then
    return image;
  end if;
  select * into strict old_layout from multiserver.layouts where table_id = p_table_id and layout = p_layout;
  execute format('select array[%s] from (select ($1::multiserver.fields_%s).*) as image',
      (select string_agg('f' || n, ', ' order by n) from generate_series(1, cardinality(old_layout.column_ids)) n),
      cardinality(old_layout.column_ids))
    into old_values using image;
  execute format('select textin(record_out(row(%s)))',
      (select string_agg(format('%L::text', case when old.position is null then new_layout.missing_values[c.position]
                                                 else old_values[old.position] end), ', ' order by c.position)
       from unnest(new_layout.column_ids) with ordinality as c (id, position)
       left join unnest(old_layout.column_ids) with ordinality as old (id, position) using (id)))
    into result;
  return result;
end $$;
