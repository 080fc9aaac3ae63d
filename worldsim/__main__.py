"""Lets ``python -m worldsim`` be the command line."""

from worldsim.cli import main

if __name__ == "__main__":
    main()
