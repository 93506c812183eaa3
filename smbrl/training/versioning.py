"""Which code a run was made with."""

from __future__ import annotations

import subprocess
from pathlib import Path

import smbrl


def git_state() -> str:
    """Commit of the checkout that smbrl is imported from, with ``+changes`` where it differs; "" outside of one."""
    folder = Path(smbrl.__file__).parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # a wheel may be installed below somebody else's repository: only a repository that has this file counts
    if not git("ls-files", "--", "__init__.py"):
        return ""
    commit = git("rev-parse", "--short=12", "HEAD") or ""
    return commit + ("+changes" if commit and git("status", "--porcelain", "--untracked-files=no") else "")
