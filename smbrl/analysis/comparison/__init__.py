"""Comparing runs: which to compare, what differs, how they learn, how sure that is; tables, pictures, a page.

``sources`` reads runs, ``groups`` puts seeds together, ``align`` puts curves on common steps, ``statistics`` asks
rliable, ``comparison`` is all of it for one metric, the rest shows it.
"""
