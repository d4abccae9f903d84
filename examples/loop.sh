#!/usr/bin/env bash
# The whole loop with a reviewer who is never wrong: photos whose truth is known are labelled; in
# each round the most doubtful are corrected from the truth, the network learns from everything
# corrected so far, and labels the rest anew. For your own photos put a person in the place of the
# two commands marked "review": `vitpose review RUN --queue QUEUE`.
#
#   examples/loop.sh TRUTH IMAGES VAL_TRUTH VAL_IMAGES OUT [option of `vitpose annotate`...]
#
#   TRUTH IMAGES          COCO-keypoint file and folder of the photos to label
#   VAL_TRUTH VAL_IMAGES  the same of photos that nothing is learnt from, to measure the weights on
#   OUT                   a new folder; gets the run, the queues, the weights and report.tsv
#
# ROUNDS=3       how often to go round
# BUDGET=15      photos corrected in each round
# EPOCHS=10      how often each training shows everybody who was corrected
# WEIGHTS=tiny   what is labelled with at first, and what each training starts from
#
#   WEIGHTS=vitpose-b examples/loop.sh a.json a/ b.json b/ loop --detector dfine-m
#
# Prints AP in each round: of the labels of all photos to label, corrected ones among them, and of
# the weights on the others, in the boxes of the truth.
set -euo pipefail

if (($# < 5)); then
    sed -n '2,/^set -euo/{/^set/d;s/^# \{0,1\}//;p}' "$0"
    exit 2
fi
truth=$1 images=$2 val_truth=$3 val_images=$4 out=$5
shift 5
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/train/from-labels.yaml
weights=${WEIGHTS:-tiny} run=$out/labels.vitpose

average_precision() {
    vitpose evaluate --json "$@" | python3 -c 'import json, sys
print(format(json.load(sys.stdin)["coco"]["AP"], ".3f"))'
}

report() { # round, photos corrected, weights
    local labels network
    labels=$(average_precision -a "$truth" -p "$run")
    network=$(average_precision -a "$val_truth" -i "$val_images" --gt-boxes -w "$3")
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$labels" "$network" | tee -a "$out/report.tsv"
}

mkdir "$out"
vitpose annotate "$images" -o "$run" --weights "$weights" "$@"
printf 'round\tcorrected\tAP of the labels\tAP of the weights\n' | tee "$out/report.tsv"
report 0 0 "$weights"

for ((round = 1; round <= ${ROUNDS:-3}; round++)); do
    queue=$out/queue-$round.json corrected=$out/corrected-$round.json trained=$out/training-$round
    vitpose select "$run" -n "${BUDGET:-15}" -o "$queue" >"$out/queue-$round.txt"

    # review
    vitpose export "$truth" --format coco --only "$queue" -o "$corrected"
    vitpose import "$corrected" --into "$run" --reviewer truth --accept-unchanged

    vitpose train -c "$recipe" -o "$trained" --set "model.weights=$weights" \
        --set "data.train.0.annotations=$run/annotations.json" --set data.train.0.include=reviewed \
        --set "data.train.0.images=$images" --set "data.train.0.split=[0,1]" \
        --set "data.validation=[]" --set "stages.0.epochs=${EPOCHS:-10}"
    vitpose annotate "$images" -o "$run" --weights "$trained/last.safetensors" --refresh model "$@"
    report "$round" $((round * ${BUDGET:-15})) "$trained/last.safetensors"
done
