-- Comparing and pulling run as multiserver_apply, whoever calls. A superuser's step: only a superuser may give a function
-- to another role.
--
-- Inside a SECURITY DEFINER function SET ROLE is refused, so code of the application that a pulled row drags along cannot
-- leave that role, although the agent that calls is a superuser.

do $$
declare
  routine regprocedure;
begin
  for routine in select oid::regprocedure from pg_proc where pronamespace = 'multiserver'::regnamespace
                 and proname in ('comparable', 'checksums', 'states', 'events_of', 'merge_pulled') loop
    execute format('alter function %s owner to multiserver_apply', routine);
  end loop;
end $$;
