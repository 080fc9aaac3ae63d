"""What every test runs under."""

import os

# Set before torch and matplotlib are first imported, in this process and in those that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers share the cores
os.environ.setdefault("MPLBACKEND", "Agg")  # no screen
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach outside this machine
