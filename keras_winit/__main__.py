"""`python -m keras_winit` is the command `keras-winit`."""

import sys

from _keras_winit_command import main

if __name__ == "__main__":
    sys.exit(main())
