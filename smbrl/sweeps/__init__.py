"""Sweeps: many runs that differ in files, overlays, seeds and values; here or on a cluster; gone on with, searched.

``space`` says what values there are, ``sweep`` what is wanted, ``plan`` which runs that makes, ``search`` lets Optuna
choose, ``cluster`` takes them to Ray, ``board`` shows them, ``estimate`` says how long, ``results`` what came out.
``smbrl.training.work`` does the work.
"""
