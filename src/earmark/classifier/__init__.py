"""What is saved and what answers: features, head, calibration, decision rule, one file."""
