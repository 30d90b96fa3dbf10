"""``python -m energybench``."""

from energybench.cli.main import main

if __name__ == "__main__":
    main()
