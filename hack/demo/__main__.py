"""Makes `python hack/demo` work from any folder: puts the checkout on the import path and starts the tool.

It takes the place of this folder, where kubernetes.py would hide the library of that name.
"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from hack.demo.cli import main  # noqa: E402

main()
