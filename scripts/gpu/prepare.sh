#!/usr/bin/env bash
# Before a card is rented: what its machine needs, in parts small enough to travel.
#
#     bash scripts/gpu/prepare.sh TARGET STRIPS [PARTS]
#
# makes TARGET/{tools,1,2,…}: the scripts with an export of the last commit, and STRIPS in so many parts (2). It holds a
# folder of image strips for each data set (see strips.py), cifar10/{train,test}/*.webp. GPU_SETS names others, and
# GPU_WEIGHTS weights of data/weights that travel in the last part.
set -euo pipefail
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
parts=${3:-2}
rm -rf "$1" && mkdir -p "$1/tools/project"
target=$(cd "$1" && pwd)
cp "$root"/scripts/gpu/*.sh "$root"/scripts/gpu/*.py "$root"/scripts/gpu/*.txt "$target/tools/"
git -C "$root" archive HEAD src notebooks/presets pyproject.toml data/paper | tar -x -C "$target/tools/project"
git -C "$root" rev-parse HEAD > "$target/tools/commit"
staged=$(mktemp -d)
trap 'rm -rf "$staged"' EXIT
for set in ${GPU_SETS:-cifar10}; do mkdir -p "$staged/$set" && cp -r "$2/$set/." "$staged/$set/"; done
mkdir "$staged/weights"
for name in ${GPU_WEIGHTS:-}; do cp "$root/data/weights/$name".{json,safetensors} "$staged/weights/"; done
cd "$staged"
files() { find . -type f -printf '%s %P\n' | sort -k2; }
total=$(files | awk '{ s += $1 } END { print s }')
files | awk -v share=$((total / parts + 1)) '{ s += $1; print int((s - 1) / share) + 1, $2 }' | while read -r part path; do
	mkdir -p "$target/$part/$(dirname "$path")" && cp "$path" "$target/$part/$path"
done
du -sm "$target"/*
