#!/usr/bin/env bash
# Before a card is rented: what its machine needs, in parts small enough to travel.
#
#     bash scripts/gpu/prepare.sh TARGET STRIPS
#
# makes TARGET/{tools,a,b}: the scripts with an export of the last commit, and the two halves of STRIPS, which holds a
# folder of image strips for each data set (see strips.py), cifar10/{train,test}/*.webp.
set -euo pipefail
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
rm -rf "$1" && mkdir -p "$1/tools/project" "$1/a" "$1/b"
target=$(cd "$1" && pwd)
cp "$root"/scripts/gpu/*.sh "$root"/scripts/gpu/*.py "$root"/scripts/gpu/few.txt "$target/tools/"
git -C "$root" archive HEAD src notebooks/presets pyproject.toml data/paper | tar -x -C "$target/tools/project"
git -C "$root" rev-parse HEAD > "$target/tools/commit"
cd "$2"
strips() { find ${GPU_SETS:-cifar10} -name '*.webp' -printf '%s %p\n' | sort -k2; }
total=$(strips | awk '{ s += $1 } END { print s }')
strips | awk -v half=$((total / 2)) '{ s += $1; print (s <= half ? "a" : "b"), $2 }' | while read -r half path; do
	mkdir -p "$target/$half/$(dirname "$path")" && cp "$path" "$target/$half/$path"
done
du -sm "$target"/*
