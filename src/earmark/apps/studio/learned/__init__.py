"""What jobs made: models, reports, reviews, remedies."""
