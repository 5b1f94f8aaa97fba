"""Parts of serve.py: a load generator, servers in processes of their own, and what is measured."""
