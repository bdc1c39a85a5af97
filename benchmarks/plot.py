"""docs/performance.svg: the ratios to native as bars."""

from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.catalogue import OURS, PGLOGICAL, Measure
from benchmarks.report import told
from benchmarks.results import Results

COLOURS = {PGLOGICAL: "#9aa5b1", OURS: "#2468a2"}
HEIGHT = 0.38
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10)


def draw(results: Results, path: Path) -> None:
    """Write the plot: one pair of bars a measure, whiskers from the least to the greatest round, ticks for promises."""
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "performance"  # the same figures give the same file
    shown = [measure for measure, _ in told(results)]
    figure, axes = plt.subplots(figsize=(10, 0.5 * len(shown) + 1.2), layout="constrained")
    for offset, system in enumerate((PGLOGICAL, OURS)):
        _bars(axes, results, system, [measure.key for measure in shown], offset)
    for place, measure in enumerate(shown):
        if measure.target is not None:
            axes.plot([measure.target] * 2, [place - 0.25, place + 0.65], color="#c2410c", linewidth=2)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks([place + HEIGHT / 2 for place in range(len(shown))], [_title(measure) for measure in shown])
    axes.invert_yaxis()
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.set_xlabel("ratio to native; orange: promised for ours")
    axes.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _title(measure: Measure) -> str:
    return f"{measure.title} ({'more' if measure.better == 'higher' else 'less'} is better)"


def _bars(axes: Axes, results: Results, system: str, keys: list[str], offset: int) -> None:
    known = [(place, results.ratio(key, system)) for place, key in enumerate(keys)]
    bars = [(place + offset * HEIGHT, spread) for place, spread in known if spread is not None]
    medians = [spread.median for _, spread in bars]
    below = [spread.median - spread.least for _, spread in bars]
    above = [spread.greatest - spread.median for _, spread in bars]
    if bars:
        axes.barh(
            [place for place, _ in bars],
            [middle - 1 for middle in medians],
            HEIGHT,
            left=1,
            xerr=(below, above),
            color=COLOURS[system],
            label=system,
        )
