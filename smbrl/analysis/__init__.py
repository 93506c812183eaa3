"""Pictures and numbers from finished runs."""
