"""`make secrets`: a random password for every role of docker-compose.yml, each in a file of its own. Those there stay.

The folder is its owner's alone. The files in it can be read by anybody who gets there, since each container reads its
own under a user of its own: on this machine the folder's mode keeps others out.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).with_name("secrets")
NAMES = (
    "postgres",
    "hub_owner",
    "hub_runtime",
    "crm_source",
    "crm_target",
    "billing_source",
    "billing_target",
    "erp_source",
    "erp_target",
    "run_token",
    "grafana",
)


def make(folder: Path) -> list[str]:
    """Make what is missing; the names of what was made. In a connection string no character of theirs is special."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    made = []
    for name in NAMES:
        path = folder / name
        if not path.exists():
            path.write_text(secrets.token_urlsafe(24), "ascii")
            path.chmod(0o444)
            made.append(name)
    return made


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    made = make(place)
    print(f"made {', '.join(made)} in {place}" if made else f"all passwords are there, in {place}")
