"""Importing this registers the environments of every plugin with Gymnasium.

``gymnasium.make("smbrl.environments:smbrl/Maze-v0")``, or ``import smbrl.environments`` once and then
``gymnasium.make("smbrl/Maze-v0")``.
"""

from smbrl.registry import load_plugins

ENVIRONMENTS = dict(load_plugins().environments)
"""Gymnasium id -> entry point."""
