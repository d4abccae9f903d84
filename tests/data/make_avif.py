"""Write AVIF photos such as Pillow does not, with Debian's `avifenc` 0.11, into a folder.

Call it as `python tests/data/make_avif.py tests/data/avif`.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "astronaut.jpg"
OPTIONS = {
    "10-bit-400-limited": "-d 10 -y 400 -r limited",
    "10-bit-420": "-d 10 -y 420",
    "10-bit-pq": "-d 10 -y 444 --cicp 9/16/9",
    "12-bit-422-limited": "-d 12 -y 422 -r limited",
    "12-bit-444": "-d 12 -y 444",
    "cut": "-d 8 -y 444 --crop 12,8,41,31",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.png"
        Image.open(PHOTO).convert("RGB").resize((64, 48)).save(photo)
        for name, options in OPTIONS.items():
            command = f"avifenc -s 0 --min 10 --max 20 {options}".split()
            subprocess.run([*command, photo, Path(sys.argv[1]) / f"{name}.avif"], check=True)


if __name__ == "__main__":
    main()
