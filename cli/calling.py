"""How commands that start runs call smbrl: another process that stops when this one does."""

from __future__ import annotations

import sys

CALL = [sys.executable, "-c", "from smbrl import leash; leash.hold(); from smbrl_cli import main; main()"]
