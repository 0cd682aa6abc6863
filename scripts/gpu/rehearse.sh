#!/usr/bin/env bash
# Everything that is going to run on a card, on this machine's CPU with tiny settings: prepare, first, train, rates, many.
#
#     GPU_PYTHON=python3 bash scripts/gpu/rehearse.sh
set -euo pipefail
scripts=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python=${GPU_PYTHON:-python3}
$python "$scripts/random_images.py" "$scratch/images/cifar10" 10000
$python "$scripts/strips.py" pack "$scratch/images/cifar10" "$scratch/strips/cifar10"
bash "$scripts/prepare.sh" "$scratch/gpu" "$scratch/strips"
tools=$scratch/gpu/tools
small="-p layers=[1,1,1] -p width=4 -p branch_width=1 -p stem=3x3/2 -p images_per_class=40 -p batch_size=64"
small="$small -p norm_batch=32 -p compile=false -p epochs=2 -p warmup_epochs=1"
export GPU_PYTHON=$python GPU_WORK=$scratch/work GPU_TINY=yes GPU_IMAGES=11000
export GPU_ARGS="$small -p workers=1" GPU_SUFFIX=tiny GPU_MANY_ARGS=$small GPU_KEEP=cifar10-few-plain-s0-rehearsal
mkdir "$scratch/away" && mv "$scratch/gpu/2" "$scratch/away/" # the parts travel one after the other
OUT=$scratch/first bash "$tools/first.sh"
rm -r "$scratch/gpu/1" && mv "$scratch/away/2" "$scratch/gpu/"
OUT=$scratch/pair bash "$tools/train.sh" 600
OUT=$scratch/rates bash "$tools/rates.sh" 2 2 cifar10-few/coded-s0 cifar10-few/plain-s0
{ printf 'train cifar10-few %s\n' coded-s0 coded-mu0-s0 no-such-run plain-s0; echo evaluate cifar10-few coded-s0-rehearsal; } > "$scratch/list"
OUT=$scratch/many bash "$tools/many.sh" 600 2 "$scratch/list"
mkdir "$scratch/back"
for what in pair/results pair/weights many/results many/weights; do
	cat "$scratch/$what".tar.gz* | tar -xz -C "$scratch/back"
done
find "$scratch/back" -type f | sed "s,$scratch/back/,," | sort
for file in results/cifar10-60-epochs/{training,accuracy,early,specialisation,binary}-coded-tiny-s0.json \
	results/cifar10-60-epochs/{training,accuracy,binary}-plain-tiny-s0.json \
	results/cifar10-few/training-{coded,coded-mu0,plain}-s0-rehearsal.json \
	weights/cifar10-60-epochs-{coded,plain}-tiny-s0.safetensors weights/cifar10-few-plain-s0-rehearsal.safetensors; do
	[ -f "$scratch/back/data/$file" ] || { echo "missing: data/$file"; exit 1; }
done
echo "rehearsed"
