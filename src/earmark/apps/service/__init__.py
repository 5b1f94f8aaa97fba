"""An HTTP service that classifies recordings: ``earmark serve``."""
