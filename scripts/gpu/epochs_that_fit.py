"""How many epochs of CIFAR fit into a time, by the speed of the rehearsal: 60, or 30, or 15.

    python epochs_that_fit.py FOLDER-OF-RECORDS SECONDS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

IMAGES, OVERHEAD = 50_000, 40.0  # seconds to start, compile from a warm cache, and evaluate

records = [json.loads(path.read_text()) for path in Path(sys.argv[1]).glob("training-*-rehearsal-*.json")]
speeds = [max(row["images_per_second"] for row in record["history"][1:]) for record in records]
room = float(sys.argv[2]) - OVERHEAD
print(next((epochs for epochs in (60, 30) if speeds and epochs * IMAGES / min(speeds) <= room), 15))
