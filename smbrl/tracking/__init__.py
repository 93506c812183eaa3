"""Metrics, progress, artifacts: MLflow and a local record."""
