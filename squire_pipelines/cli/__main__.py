"""`python -m squire_pipelines.cli`. Old Pythons can read this module, so that it can say that Python is too old."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - a checkout can be run with any Python; pip would have refused
    sys.stderr.write("error: Squire needs Python 3.11 or newer, this is %s\n" % sys.version.split()[0])  # noqa: UP031 - old Pythons read this
    sys.stderr.write("hint: install one (for example with `uv python install 3.13`) and make a new environment\n")
    raise SystemExit(3)

from squire_pipelines.cli.main import main

main()
