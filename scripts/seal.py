"""Put a seal on description files that have none, see descriptions.py: those of before it, and edited ones.

    python scripts/seal.py data/weights/*.json data/weights/*/*.json
"""

import json
import sys
from pathlib import Path

from coded_resnext.descriptions import SEAL, from_json, to_json
from coded_resnext.files import write_atomically

for path in map(Path, sys.argv[1:]):
    text = path.read_bytes()
    content = from_json(text, str(path), f"remove its {SEAL!r} first, if the change was meant")
    if SEAL not in json.loads(text):
        write_atomically(path, to_json(content, sort_keys=list(content) == sorted(content)).encode())
        print(path)
