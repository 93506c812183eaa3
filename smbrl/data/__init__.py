"""Episodes, windows, replay; data sets in and out."""
