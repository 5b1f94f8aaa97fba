"""The paths of the studio over HTTP."""
