"""Makes `python hack/demo` work from any folder: puts the checkout on the import path and starts the tool."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from hack.demo.cli import main

main()
