"""smbrl: skill-based model-based reinforcement learning, as parts that gin puts together."""

from importlib.metadata import version

__version__ = version("smbrl")
