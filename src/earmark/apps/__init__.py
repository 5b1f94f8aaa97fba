"""What people start: the command line. Nothing else of earmark may import this room."""
