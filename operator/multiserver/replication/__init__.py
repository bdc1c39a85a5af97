"""Journal-and-merge replication: the SQL engine, and what keeps it installed, linked and observed. See DESIGN.md."""
