"""Live sound and files to try, heard by a child process."""
