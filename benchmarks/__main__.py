"""`python -m benchmarks`: run them, or write the report of the last run."""

from benchmarks.cli import main

main()
