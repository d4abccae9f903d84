#!/usr/bin/env bash
# Label a large set on one machine over night: every GPU, and again until nothing is missing.
#
#   examples/batch.sh /data/photos /data/photos.vitpose 0,1,2,3
set -uo pipefail
photos=${1:?the folder of photos}
run=${2:?the run folder}
devices=${3:-0}

for attempt in 1 2 3; do
    vitpose annotate "$photos" -o "$run" --weights vitpose-plus-l --detector dfine-m --devices "$devices"
    code=$?
    # 0: all done. 2, 3, 4: options, files or weights that another attempt does not mend. 130: stopped
    # by a person. 5: frames failed or a worker died, and 1 or more than 130: killed; worth trying.
    case $code in 0 | 2 | 3 | 4 | 130) break ;; esac
    echo "attempt $attempt ended with $code" >&2
done

[ "$code" = 0 ] || [ "$code" = 5 ] || exit "$code"
vitpose validate "$run/annotations.json" || exit
vitpose stats "$run"
exit "$code"
