"""`stylegan-eval` as on two machines that share nothing but the network: each has its own cache."""

import os

from stylegan_eval.cli import main

if __name__ == "__main__":
    os.environ["STYLEGAN_CACHE"] += f"/machine {int(os.environ['RANK']) % 2}"
    main()
