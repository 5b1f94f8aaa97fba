"""Clips become vectors: cutting, computing, pooling, the store."""
