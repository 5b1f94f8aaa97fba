"""Gradient training of a network beneath its head, and the honest answer whether it paid.

``conduct.py`` goes through the folds, ``run.py`` is one run; ``recipe.py`` has the settings,
``scope.py`` says which parameters move, ``model.py`` is the whole way as one function, and
``optimiser.py``, ``augment.py``, ``sounds.py``, ``workers.py``, ``checkpoints.py`` its parts.
"""
