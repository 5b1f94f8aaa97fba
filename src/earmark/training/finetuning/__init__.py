"""Gradient training of a network beneath its head, and the honest answer whether it paid.

``conduct.py`` goes through the folds, ``run.py`` is one run, ``context.py`` has what it is given.
``recipe.py`` has the settings, ``parameters.py`` says which parameters move, ``model.py`` is the
whole way from windows to logits. The others are parts of a run.
"""
