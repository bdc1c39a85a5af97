import os
import subprocess

from local_cluster.builds import SOURCE


def test_the_network_plugin_passes_its_own_tests():
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
    command = ["go", "test", "./site-address", "./pause"]
    result = subprocess.run(command, cwd=SOURCE, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
