"""Scoring: metrics, calibration, benchmarks, the folder a run writes, and its report."""
