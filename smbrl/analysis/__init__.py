"""Looking at runs: pictures, videos, evaluation with intervals, long-horizon prediction.

``report`` makes every picture a run supports; the other modules make one kind each and can be used alone. What
they ask of an agent is in ``imagines``.
"""
