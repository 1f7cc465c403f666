"""``python -m pneumocli`` is ``pneumo``; torchrun starts it this way."""

from pneumocli.cli.app import main

if __name__ == "__main__":
    main()
