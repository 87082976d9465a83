"""`python -m keras_winit` is the command `keras-winit`."""

import sys

from keras_winit._cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
