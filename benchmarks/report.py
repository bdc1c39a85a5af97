"""docs/performance.md from the figures of a run."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.catalogue import (
    COMPARE,
    COPYING,
    GROWTH,
    JOIN,
    MEASURES,
    NATIVE,
    OURS,
    PGLOGICAL,
    REFETCH,
    SYSTEMS,
    VERIFY,
    Measure,
)
from benchmarks.records import LOADS, PURPOSES
from benchmarks.results import Results, Spread

INTRODUCTION = """\
# Performance

What replication costs here, beside PostgreSQL's own logical replication ("native") and pglogical, measured in one run
on one machine. Made by `make bench`; do not edit.

The three do not do the same. Native replication and pglogical lose changes or stop when two sites change the same rows;
ours ends equal everywhere. Native is the yardstick because nothing can be cheaper that sends every row.

![Ratios to native](performance.svg)
"""

READING = """\
## How to read it

- Two sites of each system run all the time; in each round every measurement is done with all systems, one after the
  other, in an order that turns. A ratio is the median of the rounds' own ratios, so that a slow moment of the machine
  meets numerator and denominator alike. In brackets: the least and the greatest of the rounds.
- Load generator, origin and peer share the cores of one machine. So what one of them saves the others gain; with more
  cores or a slow line the ratios of throughput are nearer to 1. CPU time and WAL bytes depend least on such things.
- Commits are synced to disk (`fsync = on`, `synchronous_commit = on`); the disk's moods are the greatest noise at one
  client. Where the brackets are wide, believe the median little and a difference inside them not at all.
- Peers take the changes while the origin is under load, as in life.
- WAL is counted by records (pg_walinspect), without the page images that follow a checkpoint: those come with the
  checkpoint's moment, not with the system.
- TPC-B-like is pgbench's transaction (three updates, one read, one insertion) with as many branches as it takes for
  sessions not to wait for each other. 80 % reads: of ten transactions eight read one row, two write one row.
- Apply: the peer takes nothing while a backlog of transactions of one row grows (30 % insertions, 70 % updates by key;
  "transactions of one row" is the origin meanwhile), then is timed until it has all.

"""

COSTS = """\
## Where the time and the bytes go

Of one changed row, measured alone on the server, in transactions of one row (CPU of the session, least of several
rounds):

| | by itself | capture adds | of that, register | of that, journal |
|---|---|---|---|---|
| update by key | 8 µs, 273 B | 19 µs, 330 B | 7 µs, 87 B and pruning 58 B | 5 µs, 185 B |
| insertion | 5 µs, 202 B | 18 µs, 312 B | 9 µs, 72 B, index 64 B, confirming 48 B | 4 µs, 128 B |
| deletion by key | 5 µs, 160 B | 22 µs, 220 B | 7 µs, 87 B and pruning 58 B | 5 µs, 75 B |
| row of a bulk insertion | 1 µs, 169 B | 4.4 µs, 194 B | | |

The rest is the trigger itself (3 µs) and starting two statements. The first change of a row for a day inserts its
register row, which takes a fifth longer. A captured row is written three times: as itself, as its register row, as its
event. So the more of a transaction is writing, the more WAL it costs, and TPC-B, which is nothing but writing, shows it
at its worst.

Why not twice the WAL, or less: every record has 44 bytes of heads and more, and PostgreSQL writes rows whole where
logical decoding is on. An event is 55 bytes of record and tuple head, 18 of version, layout, table and kind, 8 of base,
then the row's image; a register row that is set is 66 bytes of heads, then key, version and base. TPC-B's rows are
small (74 bytes as native records; one of 163), so four events and four register rows weigh more than the rows: even
without pruning and confirming, which is PostgreSQL's doing, TPC-B would cost 2.5 times the WAL. A third of what capture
adds would be saved if register and journal were one row; but then every register row keeps an image, and a peer's
PostgreSQL would have to find the row that an update names. An event a transaction instead of one a statement would save
60 bytes for each further one; but triggers have no cheap place to gather rows in until the commit.

Merging a row costs about 30 µs (35 an update) where native replication takes about 10: it locks the row, compares and
sets its register row, then writes, each a statement of its own.

Tried without gain: no SET clauses on the capture functions (1 to 2 µs), fixing only the settings that a table's types
depend on (nothing), drawing the version inside the statement that stores it (1 µs more), a lower fill factor of the
registers (a page is filled up to where PostgreSQL begins to prune it, so with any each update prunes one row; at 40 %
it takes 3 µs less, since pages have fewer rows, but registers become twice as large), inserting register rows without
ON CONFLICT (48 B and 3 µs less, but an insertion would fail if, in that very moment, a deletion of the same key by
another site was merged), one statement with data-modifying CTEs instead of two (2 µs more), writing first and undoing
if the change has lost instead of locking first (3 µs less, but rows that did not change would be rewritten), triggers
on rows instead of statements (bulk changes cost three times as much). The way to much less is capturing from the
write-ahead log, outside of the application's transaction: without triggers, publishing full rows costs 0.96 to 1.00 of
the throughput and 1.3 to 1.6 times the WAL.
"""


def render(results: Results) -> str:
    """Return the whole page."""
    parts = [INTRODUCTION, _circumstances(results.circumstances), _ratios(results)]
    parts += [_joins(results), _growth(results), READING, _records(results), COSTS]
    return "\n".join(part for part in parts if part)


def _circumstances(known: dict[str, Any]) -> str:
    kernel = known["kernel"].partition("-")[0]  # What follows names one machine's build of it.
    lines = [
        f"- Begun {known['begun']}; {known.get('rounds', '?')} rounds",
        f"- {known['processor']}, {known['cores']} cores, {known['memory_gigabytes']} GB; Linux {kernel}",
        f"- PostgreSQL {known.get('postgresql', '?')}, engine {known.get('engine', '?')},"
        f" pglogical {known.get('pglogical') or 'left out: ' + known['without_pglogical']}",
        f"- Load of the machine by others before the run: {known['load_before']}",
    ]
    if known["effort"] != "whole":
        lines.append(f'- **Effort "{known["effort"]}": too short and too small to mean much. It shows that it runs.**')
    return "\n".join(["## Where and when", "", *lines, ""])


def _ratios(results: Results) -> str:
    header = [
        "| | native | pglogical | ours | pglogical / native | ours / native | promised |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = [_row(results, measure) for measure in MEASURES if results.spread(measure.key, OURS)]
    return "\n".join(["## Side by side", "", *header, *rows, ""])


def _row(results: Results, measure: Measure) -> str:
    absolute = [amount(results.spread(measure.key, system)) for system in SYSTEMS]
    ratios = [ratio(results.ratio(measure.key, system)) for system in (PGLOGICAL, OURS)]
    return _line([f"{measure.title} ({measure.unit})", *absolute, *ratios, promise(results, measure)])


def promise(results: Results, measure: Measure) -> str:
    """Say what ratio is promised and whether it is kept."""
    return verdict_on(measure, results.ratio(measure.key, OURS))


def verdict_on(measure: Measure, reached: Spread | None) -> str:
    """Say whether a ratio keeps what is promised; nothing if nothing is, or the ratio is not known."""
    if measure.target is None or reached is None:
        return ""
    bound = "≥" if measure.better == "higher" else "≤"
    return f"{bound} {measure.target:g}: {'kept' if measure.meets(reached.median) else '**missed**'}"


def _joins(results: Results) -> str:
    sizes = results.sizes(JOIN.key)
    if not sizes:
        return ""
    lines = [
        "## Joining and comparing",
        "",
        "One site holds the database, a second one joins it. Then both are compared by versions and contents (verify),",
        "by versions alone, as after a crash (compare), and with changes that a lost slot kept away (fetch).",
        "",
        "| database | pg_basebackup alone | join, until it serves | ratio | promised | verify | compare | fetch |",
        "|" + "---|" * 8,
    ]
    for size in sizes:
        reached = results.ratio(JOIN.key, OURS, size, COPYING)
        copying, joining = (amount(results.spread(JOIN.key, system, size)) for system in (COPYING, OURS))
        rates = [f"{amount(results.spread(rate.key, OURS, size))} {rate.unit}" for rate in (VERIFY, COMPARE, REFETCH)]
        cells = [f"{size} GB", f"{copying} s", f"{joining} s", ratio(reached), verdict_on(JOIN, reached), *rates]
        lines.append(_line(cells))
    return "\n".join([*lines, ""])


def _growth(results: Results) -> str:
    sizes = sorted({size for measure in GROWTH for size in results.sizes(measure.key)})
    if not sizes:
        return ""
    lines = ["## Growth with sites", "", "TPC-B-like load of 8 clients at one site; all others take its changes.", ""]
    lines += [_line(["", *(f"{size} sites" for size in sizes)]), _line(["---"] * (len(sizes) + 1))]
    for measure in GROWTH:
        for system in SYSTEMS:
            cells = [amount(results.spread(measure.key, system, size)) for size in sizes]
            if any(cells):
                lines.append(_line([f"{measure.title} ({measure.unit}), {system}", *cells]))
    return "\n".join([*lines, ""])


def _records(results: Results) -> str:
    """Tell byte by byte what a transaction writes to the WAL, natively and here."""
    columns = [(load, system) for load in LOADS for system in (NATIVE, OURS)]
    spreads = {
        purpose: [results.spread(f"records.{load}.{purpose}", system) for load, system in columns]
        for purpose in PURPOSES
    }
    if not any(any(cells) for cells in spreads.values()):
        return ""
    lines = ["## What the WAL of a transaction consists of", ""]
    lines += ["| bytes | TPC-B-like, native | ours | one row, native | ours |", "|---|---|---|---|---|"]
    sums = [0.0] * len(columns)
    for purpose, cells in spreads.items():
        medians = [0.0 if spread is None else spread.median for spread in cells]
        sums = [total + median for total, median in zip(sums, medians, strict=True)]
        lines.append(_line([PURPOSES[purpose], *(f"{median:.0f}" if median >= 0.5 else "" for median in medians)]))
    return "\n".join([*lines, _line(["**together**", *(f"{total:.0f}" for total in sums)]), ""])


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def amount(spread: Spread | None) -> str:
    """Write a figure with its range; nothing if it is not known."""
    return "" if spread is None else _bracketed(spread, _significant)


def ratio(spread: Spread | None) -> str:
    """Write a ratio with its range; nothing if it is not known."""
    return "" if spread is None else _bracketed(spread, lambda value: f"{value:.2f}")


def _bracketed(spread: Spread, write: Callable[[float], str]) -> str:
    if spread.count == 1:
        return write(spread.median)
    return f"{write(spread.median)} ({write(spread.least)} to {write(spread.greatest)})"


def _significant(value: float) -> str:
    """Three digits: more would be noise."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}".replace(",", " ") if abs(rounded) >= 100 else f"{rounded:g}"


def told(results: Results, measures: Sequence[Measure] = MEASURES) -> list[tuple[Measure, Spread]]:
    """Return the measures whose ratio to native is known for ours."""
    known = ((measure, results.ratio(measure.key, OURS)) for measure in measures)
    return [(measure, spread) for measure, spread in known if spread is not None]
