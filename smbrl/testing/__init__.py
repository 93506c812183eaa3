"""The conformance kit: checks that a part keeps its contract."""
