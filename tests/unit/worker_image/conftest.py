import sys
from pathlib import Path

# The worker's parts are no installed package: the image and the local runner find them beside the entrypoint.
sys.path.insert(0, str(Path(__file__).parents[3] / "worker-image"))
