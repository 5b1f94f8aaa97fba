"""One module for each network: its front end, its body, its published weights."""
