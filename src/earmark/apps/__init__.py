"""What people start: the command line, the service. Nothing else may import this room."""
