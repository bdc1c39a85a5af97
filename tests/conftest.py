"""What holds for all suites."""

from tests.scratch import use_scratch_folder

use_scratch_folder()
