"""What layers were told, and what their authors had given them."""

import weakref

# Layer -> attribute -> what its author had there, and what it was told last. Kept beside the
# layers, whose configs, and so their files, hold what they were told.
_memory = weakref.WeakKeyDictionary()


def tell(layer, attribute, initializer, changes):
    """Sets an attribute of a layer within `Changes`, and remembers what its author had there."""
    held, known = getattr(layer, attribute), _memory.setdefault(layer, {})
    changes.on_error(known.__setitem__, attribute, known.get(attribute, (held, held)))
    known[attribute] = authored(layer, attribute), initializer
    changes.set(layer, attribute, initializer)


def authored(layer, attribute):
    """Returns what the author of a layer gave for an attribute, whatever it was told since.

    What somebody has set since then is the author's as well.
    """
    held = getattr(layer, attribute)
    own, told = _memory.get(layer, {}).get(attribute, (held, held))
    return own if held is told else held
