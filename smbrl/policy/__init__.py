"""Exported policies: acting and imagining without the training stack."""

from smbrl.policy.folder import load
from smbrl.policy.policy import Policy
from smbrl.policy.views import Imagination, Skills

__all__ = ["Imagination", "Policy", "Skills", "load"]
