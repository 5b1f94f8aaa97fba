"""The machine: files, cache, downloads, archives, threads. Knows neither audio nor torch."""
