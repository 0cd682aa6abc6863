#!/usr/bin/env bash
# Before many small runs: how fast is the card when so many processes train side by side; the compiler's cache is warm
# afterwards. A minute and a half.
#
#     bash rates.sh PROCESSES SECONDS RUN ...      RUN is PRESET/NAME, one of each graph that is to be compiled;
#                                                  GPU_GRAPHS=yes for CUDA graphs
set -uo pipefail
. "$(dirname "$0")/common.sh"
begun=$SECONDS
keep
export OMP_NUM_THREADS=1
serve || true
TORCHINDUCTOR_COMPILE_THREADS=2 timeout "${GPU_LIMIT:-150}" $python "$here/rates.py" "$@" 2> "$GPU_LOGS/rates.err" | tee "$OUT/rates.txt"
tail -n 12 "$GPU_LOGS/rates.err"
end_service
echo "call: $((SECONDS - begun)) s"
