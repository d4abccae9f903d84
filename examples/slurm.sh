#!/usr/bin/env bash
# Label a large set with a Slurm array: one GPU a task, all on one run folder, no talk between them.
#
#   sbatch --array=0-7 examples/slurm.sh /data/photos /data/photos.vitpose
#   sbatch --array=0-7 examples/slurm.sh /data/photos /data/photos.vitpose --weights runs/finetune
#
# Options that are given replace those below. Where tasks have no network, fetch what is published before:
# vitpose weights pull vitpose-plus-l; vitpose weights pull dfine-m
#
# Each task takes every eighth block of 32 photos; the last to finish writes annotations.json. When
# tasks were killed or ran out of time, submit again, with any number of tasks: what is done stays.
# Where only some of the GPUs compute in bf16 (compute capability 8.0), add --precision fp32 or fp16.
#SBATCH --job-name=vitpose
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --signal=B:TERM@60
set -euo pipefail
photos=${1:?the folder of photos}
run=${2:?the run folder}

(($# > 2)) || set -- "$@" --weights vitpose-plus-l --detector dfine-m

# Which part is this task's, the program reads from SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT.
exec \
vitpose annotate "$photos" -o "$run" "${@:3}"
