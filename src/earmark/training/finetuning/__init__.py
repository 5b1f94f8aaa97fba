"""Fine-tuning: train a network together with its head, and test whether that helped.

``conduct.py`` goes through the folds. ``run.py`` is one run, and ``context.py`` its input.
``recipe.py`` has the settings, ``parameters.py`` selects the tuned parameters, and ``model.py``
computes logits from windows. The other modules are parts of a run.
"""
