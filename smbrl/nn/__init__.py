"""Building blocks: networks, optimisers, schedules."""
