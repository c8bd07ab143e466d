"""``python -m streambox``: the same as ``streambox``."""

from streambox.cli import main

if __name__ == "__main__":
    main()
