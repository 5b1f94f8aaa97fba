"""Files, cache, downloads, archives and threads; nothing here depends on audio or torch."""
