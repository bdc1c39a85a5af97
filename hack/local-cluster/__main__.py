"""Makes `python hack/local-cluster` work from any folder: puts the checkout on the import path and starts the tool."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from local_cluster.cli import main  # noqa: E402

main(prog_name="local-cluster")
