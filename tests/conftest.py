"""What holds for all suites."""

from hypothesis import HealthCheck, settings

from tests.scratch import use_scratch_folder

use_scratch_folder()

# Suites run side by side on machines that are busy: there the time that an example takes says nothing of the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
