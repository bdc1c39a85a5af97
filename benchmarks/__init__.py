"""What replication costs: native logical replication, pglogical and ours, measured side by side in one run.

`make bench` runs it. Systems take turns within each round, so that a slow moment of the machine meets all of them; what
counts is the ratio to native in the same round, and its median over the rounds.
"""
