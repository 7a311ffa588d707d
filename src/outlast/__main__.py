"""`python -m outlast`: the command line, where the `outlast` command is not on the path."""

from outlast.cli import main

if __name__ == "__main__":
    main()
