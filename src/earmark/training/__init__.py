"""Selecting, fitting, estimating, comparing, fine-tuning."""
