#!/usr/bin/env bash
# Call 1 (with tools and 1): what the machine is, how fast each form is, and every command that call 2 relies on, tried
# on random images; the compiler's cache is warm afterwards. Two to three minutes.
set -uo pipefail
. "$(dirname "$0")/common.sh"
keep
begun=$SECONDS
$python "$here/probe.py" machine ${GPU_TINY:+--tiny}
echo "machine: $((SECONDS - begun)) s"

export CODED_RESNEXT_DATA=$work/rehearsal/data
$python "$here/random_images.py" "$CODED_RESNEXT_DATA/cifar10" ${GPU_IMAGES:-12800}
for kind in coded plain; do $python "$here/probe.py" step "$preset" $kind-s0 ${GPU_TINY:+--tiny} & done
wait
echo "steps: $((SECONDS - begun)) s"
CODED_RESNEXT_OUT=$work/rehearsal $python -m coded_resnext together "$preset" coded-s0 plain-s0 --suffix rehearsal \
	${GPU_ARGS:-} -p epochs=3 -p warmup_epochs=1
echo "all: $((SECONDS - begun)) s"
