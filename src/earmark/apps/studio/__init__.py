"""The studio: a page for a folder of recordings, on the person's own machine."""
