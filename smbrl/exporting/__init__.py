"""From a run to a folder that acts on its own (``smbrl.policy`` reads it)."""

from smbrl.exporting.export import export, write
from smbrl.exporting.keeping import finish

__all__ = ["export", "finish", "write"]
