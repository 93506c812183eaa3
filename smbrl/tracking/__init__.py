"""How a run is recorded and shown: local record, MLflow mirror, progress."""

from smbrl.tracking.mlflow import Tracking
from smbrl.tracking.progress import Phase, ProgressBars
from smbrl.tracking.record import Columns, read
from smbrl.tracking.tracker import Tracker

__all__ = ["Columns", "Phase", "ProgressBars", "Tracker", "Tracking", "read"]
