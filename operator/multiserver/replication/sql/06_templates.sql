-- Each replicated table gets a register, capture functions and a merge function of its own, written from templates.
-- A template names its variables in braces: {table}, {register}.

-- Replace the variables of a template; one that has no value is an error. Values are not looked at again, so a column
-- called "{table}" does no harm.
create function multiserver.render(template text, variables jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  piece text;
  is_variable boolean := false;
  result text := '';
begin
  for piece in select regexp_split_to_table(template, '[{}]') loop
    if is_variable and not variables ? piece then
      raise exception 'template variable {%} has no value', piece;
    end if;
    result := result || case when is_variable then variables ->> piece else piece end;
    is_variable := not is_variable;
  end loop;
  return result;
end $$;

-- The equality of an index column as a qualified operator, whatever schema the type comes from (citext in public, say).
create function multiserver.equality(index_relation oid, column_number integer) returns text
language sql stable
  return (select format('operator(%I.%s)', n.nspname, o.oprname)
          from pg_index i
          join pg_opclass c on c.oid = i.indclass[column_number - 1]
          join pg_amop a on a.amopfamily = c.opcfamily and a.amoplefttype = c.opcintype
                         and a.amoprighttype = c.opcintype and a.amopstrategy = 3
          join pg_operator o on o.oid = a.amopopr
          join pg_namespace n on n.oid = o.oprnamespace
          where i.indexrelid = index_relation);

-- The type under a domain. Keys are kept in it: their domain's rules are the table's affair, and a NOT NULL one could not
-- even be a variable.
create function multiserver.base_type(type oid, modifier integer) returns text
language sql stable
  return (
    with recursive types as (
      select type as type, modifier as modifier
      union all
      select t.typbasetype, t.typtypmod from types join pg_type t on t.oid = types.type where t.typtype = 'd'
    ) select format_type(types.type, types.modifier) from types join pg_type t on t.oid = types.type where t.typtype <> 'd');

-- Types whose text form no session setting can change. All others get the settings fixed while they are captured.
create function multiserver.text_depends_on_settings(type oid) returns boolean
language sql stable
  return (select typtype <> 'e' and type not in (
            'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype, 'bool'::regtype, 'text'::regtype,
            'varchar'::regtype, 'bpchar'::regtype, 'name'::regtype, 'uuid'::regtype, 'bytea'::regtype,
            'json'::regtype, 'jsonb'::regtype)
          from pg_type where oid = type);

-- Are two equal values of the type the same bytes? If not (1.0 and 1.00, two spellings of a citext), a merged row brings
-- its own form of the key.
create function multiserver.equal_is_same(type oid, collation oid) returns boolean
language sql stable
  return (select typtype = 'e' or type in (
            'int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'bool'::regtype, 'name'::regtype, 'uuid'::regtype,
            'bytea'::regtype, 'date'::regtype, 'time'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype)
          or type in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
             and coalesce((select collisdeterministic from pg_collation c where c.oid = equal_is_same.collation), true)
          from pg_type where oid = type);

-- Can anything change a row of the table again within the statement that wrote it: a user's trigger, or the action of a
-- foreign key on either side? Then capture must read the row back instead of taking the image that the statement made.
create function multiserver.rows_may_change_again(table_oid oid) returns boolean
language sql stable
  return exists (select from pg_trigger
                 where tgrelid = table_oid and not tgisinternal and tgname not like 'multiserver\_%')
      or exists (select from pg_constraint
                 where contype = 'f' and table_oid in (conrelid, confrelid)
                   and (confupdtype not in ('a', 'r') or confdeltype not in ('a', 'r')));

-- Statement triggers see the rows of the table they are on, and an UPDATE of a parent fires no statement trigger of its
-- children. So tables that inherit, are inherited from or are partitions are captured row by row: row triggers fire at
-- the table that holds the row, whichever table the statement named.
create function multiserver.is_captured_by_row(table_oid oid) returns boolean
language sql stable
  return exists (select from pg_inherits where table_oid in (inhrelid, inhparent));

-- PostgreSQL cannot compute a virtual column for the rows that a statement trigger sees: there they are given as null,
-- which is what merging needs of them.
create function multiserver.without_virtual_columns(variables jsonb) returns jsonb
language sql stable
  return (select jsonb_object_agg(source, format('(select %s from %s x)', columns, variables ->> source))
          from (values ('old_rows'), ('new_rows')) v (source), (
            select string_agg(case when generated = 'v' then 'null::' || format_type(type, modifier) || ' as ' else 'x.' end
                              || quote_ident(name), ', ' order by position) as columns
            from multiserver.layout_columns where table_id = (variables ->> 'id')::integer) c);

-- The variables of all templates for one table.
create function multiserver.template_variables(p_table_id integer) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  t multiserver.tables := (select x from multiserver.tables x where x.table_id = p_table_id);
  key_index oid := (select indexrelid from pg_index where indrelid = t.relation and indisprimary);
  variables jsonb;
begin
  variables := jsonb_build_object(
    'id', t.table_id, 'layout', t.layout, 'table', t.name, 'site', multiserver.server_number(),
    'register', format('multiserver.register_%s', t.table_id),
    'fits', (select format('multiserver.columns_fit(%L::regclass, %L)', t.name, column_names)
             from multiserver.layouts l where (l.table_id, l.layout) = (t.table_id, t.layout)),
    'has_unique', exists (select from pg_index where indrelid = t.relation and not indisprimary
                          and (indisunique or indisexclusion)),
    'read_back', multiserver.rows_may_change_again(t.relation));
  variables := variables || case when multiserver.is_captured_by_row(t.relation) then
    '{"each": "row", "referencing_old": "", "referencing_new": "", "referencing_old_and_new": ""}'::jsonb
    -- The table is named so that the statement is planned anew when somebody alters it: for new.* alone it would not be.
    || jsonb_build_object('old_rows', format('(select old.* where %L::regclass <> 0)', t.name),
                          'new_rows', format('(select new.* where %L::regclass <> 0)', t.name)) else
    '{"each": "statement", "referencing_old": "referencing old table as old_rows",
      "referencing_new": "referencing new table as new_rows",
      "referencing_old_and_new": "referencing old table as old_rows new table as new_rows", "old_rows": "old_rows", "new_rows": "new_rows"}' end;
  if exists (select from multiserver.layout_columns c where c.table_id = p_table_id and generated = 'v') then
    variables := variables || multiserver.without_virtual_columns(variables);
  end if;
  variables := variables || (  -- the key
    select jsonb_build_object(
      'key_count', count(*),
      'register_columns', string_agg(format('k%s %s%s not null', k.n, k.type, k.collation), ', '
                                     order by k.length < 0, array_position('{d,i,s,c}', k.alignment), k.n),
      'register_key', string_agg(format('k%s', k.n), ', ' order by k.n),
      'key_of_o', string_agg(format('o.%I', k.name), ', ' order by k.n),
      'key_of_row', string_agg(format('_row.%I', k.name), ', ' order by k.n),
      't_is_incoming', string_agg(format('t.%1$I %2$s _incoming.%1$I', k.name, k.equal), ' and ' order by k.n),
      'key_variables', string_agg(format('_k%s %s;', k.n, k.type), ' ' order by k.n),
      'key_values', string_agg(format('_k%s', k.n), ', ' order by k.n),
      'key_from_image', string_agg(format('_k%s := _incoming.%I;', k.n, k.name), ' ' order by k.n),
      'key_from_fields', string_agg(format('_k%1$s := _fields.f%1$s;', k.n), ' ' order by k.n),
      't_is_o', string_agg(format('t.%1$I %2$s o.%1$I', k.name, k.equal), ' and ' order by k.n),
      't_is_key', string_agg(format('t.%I %s _k%s', k.name, k.equal, k.n), ' and ' order by k.n),
      'r_is_o', string_agg(format('r.k%s %s o.%I', k.n, k.equal, k.name), ' and ' order by k.n),
      'r_is_first_new', string_agg(format('r.k%s %s (select o.%I from %s o limit 1)', k.n, k.equal, k.name,
                                          variables ->> 'new_rows'), ' and ' order by k.n),
      'r_is_first_old', string_agg(format('r.k%s %s (select o.%I from %s o limit 1)', k.n, k.equal, k.name,
                                          variables ->> 'old_rows'), ' and ' order by k.n),
      'r_is_t', string_agg(format('r.k%s %s t.%I', k.n, k.equal, k.name), ' and ' order by k.n),
      'key_of_t', string_agg(format('t.%I', k.name), ', ' order by k.n),
      'register_is_key', string_agg(format('r.k%1$s %2$s _k%1$s', k.n, k.equal), ' and ' order by k.n))
    from (select row_number() over (order by array_position(i.indkey::int2[], a.attnum)) as n, a.attname as name,
            a.attlen as length, a.attalign as alignment, multiserver.base_type(a.atttypid, a.atttypmod) as type,
            multiserver.equality(key_index, array_position(i.indkey::int2[], a.attnum) + 1) as equal,
            case when a.attcollation <> 0 then ' collate ' || a.attcollation::regcollation else '' end as collation
          from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
          where i.indexrelid = key_index) k);
  return variables || (  -- all columns; generated ones make themselves
    select jsonb_build_object(
      'columns', string_agg(format('%I', c.name), ', ' order by c.position),
      'values', string_agg(format('_incoming.%I', c.name), ', ' order by c.position),
      'values_of_x', string_agg(format('(x.r).%I', c.name), ', ' order by c.position),
      'changes', coalesce(string_agg(format('%1$I = _incoming.%1$I', c.name), ', ' order by c.position)
                            filter (where c.identity <> 'a' and not coalesce(
                              c.number = any (i.indkey) and multiserver.equal_is_same(c.type, c.collation), false)), ''),
      'other_identity', string_agg(format('t.%1$I <> _incoming.%1$I', c.name), ' or ' order by c.position)
                          filter (where not c.number = any (i.indkey) and c.identity = 'a'),
      'text_settings', case when bool_or(multiserver.text_depends_on_settings(c.type)) then
        'set datestyle = ''ISO, MDY'' set intervalstyle = ''postgres'' set extra_float_digits = 1 '
        'set lc_monetary = ''C''' else '' end)
    from multiserver.layout_columns c left join pg_index i on i.indexrelid = key_index
    where c.table_id = p_table_id and c.generated = '');
end $$;
