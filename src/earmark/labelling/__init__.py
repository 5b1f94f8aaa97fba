"""Work on labels that needs a model: suspects, review, corrections."""
