"""Jobs: commands of earmark in child processes, and the choices that they are built from."""
