"""The benchmarks run from end to end, in their smallest size, and their page tells what they found."""

from pathlib import Path

from click.testing import CliRunner

from benchmarks.catalogue import NATIVE, OURS
from benchmarks.cli import main
from benchmarks.report import render
from benchmarks.results import Results


def test_a_tiny_run_measures_native_and_ours_side_by_side(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    only = [f"--only={key}" for key in ("tpcb1", "apply", "records", "latency", "bulk")]

    ran = CliRunner().invoke(
        main, ["run", "--effort=tiny", "--rounds=1", *only, "--system=native", "--system=ours", f"--out={out}"]
    )

    assert ran.exit_code == 0, ran.output
    results = Results.read(out)
    for key in ("tpcb1.tps", "tpcb1.wal", "apply.rate", "latency.p50", "bulk.peer"):
        for system in (NATIVE, OURS):
            assert results.values(key, system)[1] > 0, f"{key} of {system}"
    assert results.values("records.rows.journal.row", NATIVE)[1] == 0
    assert results.values("records.rows.journal.row", OURS)[1] > 50
    assert "| TPC-B-like, 1 client: transactions a second at the origin (1/s) |" in render(results)
    assert "| events in the journal |" in render(results)
