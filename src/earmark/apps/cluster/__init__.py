"""Parts on a cluster: a driver that gives them out, and workers that compute them."""
