"""Find: archives of long recordings, searches by example, and labels in rounds."""
