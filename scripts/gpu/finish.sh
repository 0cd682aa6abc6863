#!/usr/bin/env bash
# Last call (with tools): waits for queue.sh at most so many seconds, then brings back what there is.
set -uo pipefail
. "$(dirname "$0")/common.sh"
begun=$SECONDS
until [ -e "$work/all-ended" ] || [ $((SECONDS - begun)) -ge "$1" ]; do sleep 1; done
[ -e "$work/all-ended" ] || kill -- "-$(cat "$work/queue.pid")" # queue.sh leads a group of its own
cat "$work/queue.txt" "$work/evaluate.txt"
grep -h accuracy "$work/few.txt" | tail -n 60
tail -n 3 "$work/pair.txt"
cp "$work"/*.txt "$OUT/"
tar -C "$work" -czf "$OUT/logs.tar.gz" $(cd "$work" && ls *.txt) && rm -f "$OUT"/*.txt
pack results "$CODED_RESNEXT_OUT" data/results
pack weights "$CODED_RESNEXT_OUT" data/weights
ls -l "$OUT"
echo "call: $((SECONDS - begun)) s"
