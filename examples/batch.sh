#!/usr/bin/env bash
# Label a large set on one machine over night: every GPU, and again until nothing is missing.
#
#   examples/batch.sh /data/photos /data/photos.vitpose --devices 0,1,2,3
#   examples/batch.sh /data/photos /data/photos.vitpose --weights runs/finetune
#
# Options that are given count before those below; for --boxes, take --detector out there. PAUSE_S=120
# is how long to wait between two attempts, seconds. A share that goes away under an attempt is waited
# for; one that is away when an attempt begins ends it.
set -uo pipefail
photos=${1:?the folder of photos}
run=${2:?the run folder}
[[ ${3:--} == -* ]] || { echo "$3 is no option: devices are --devices $3" >&2; exit 2; }

for attempt in 1 2 3 4; do
    ((attempt == 1)) || sleep "${PAUSE_S:-120}"
    vitpose annotate "$photos" -o "$run" --weights vitpose-plus-l --detector dfine-m "${@:3}"
    code=$?
    # 0: all done. 2, 4: options or weights that another attempt does not mend. 127: no such program.
    # 130: stopped by a person. Worth trying again: 3, a share was away or a disk full; 5, frames
    # failed or a worker died; 1 or more than 130, killed.
    case $code in 0 | 2 | 4 | 127 | 130) break ;; esac
    echo "attempt $attempt ended with $code" >&2
    [ $code != 137 ] || echo "137: killed, by the system perhaps, as memory ran out (dmesg tells);" \
        "--batch-size and --max-pixels make it take less" >&2
done

[ "$code" = 0 ] || [ "$code" = 5 ] || exit "$code"
vitpose validate "$run/annotations.json" || exit
vitpose stats "$run"
exit "$code"
