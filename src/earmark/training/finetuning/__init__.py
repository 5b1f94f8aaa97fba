"""Gradient training of a network beneath its head, and the honest answer whether it paid.

``conduct.py`` goes through the folds, ``run.py`` is one run, and ``setup.py`` what it is given.
``recipe.py`` has the settings, ``scope.py`` says which parameters move, ``model.py`` is the whole
way as one function. ``optimiser.py``, ``batches.py``, ``augment.py``, ``sounds.py``,
``workers.py`` and ``checkpoints.py`` are the parts of a run.
"""
