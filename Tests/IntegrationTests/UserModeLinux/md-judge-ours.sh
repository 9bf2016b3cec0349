#!/bin/bash
# The real md judges arrays that nbdext made: it assembles copies of exchange/ours/CASE/*.img, reads them, and checks
# their parity.
. "$(dirname "$0")/md-common.sh"

# judge CASE: what md thinks of one of our arrays.
judge() {
    local directory=$exchange/ours/$1 examine=ok before= mismatches=- replaced= loop
    mkdir members && cp --sparse=always "$directory"/*.img members || return 1
    attach members/*.img || return 1
    for loop in "${loops[@]}"; do
        mdadm --examine $loop >log 2>&1 && grep -q 'Checksum : .* correct' log || examine=bad
        if grep -q 'Internal Bitmap' log; then mdadm --examine-bitmap $loop >log 2>&1 || examine=bad; fi
    done
    # An array that was stopped cleanly is looked at before md may write.
    if [ -e "$directory/clean" ]; then
        mdadm --assemble --readonly --run $block "${loops[@]}" >log 2>&1 || { cat log; return 1; }
        before=$(digest)
        mdadm --stop $block >/dev/null 2>&1
    fi
    if ! mdadm --assemble --run $block "${loops[@]}" >log 2>&1; then
        echo "JUDGE $1 examine=$examine refused=yes"
        detach
        return 0
    fi
    local after=
    if [ "$(cat $md/level)" = raid5 ]; then
        idle || return 1
        after=$(digest)
        if [ "$(cat $md/degraded)" = 0 ]; then
            echo check >$md/sync_action
            idle || return 1
            mismatches=$(cat $md/mismatch_cnt)
        fi
        # md goes on with a replacement that we have begun: the new member must do for the first one, too.
        if [ -e "$directory/replacing" ]; then
            replaced=no
            if mdadm --detail $block | grep -q faulty; then
                mdadm --fail $block "${loops[0]}" >log 2>&1 || { cat log; return 1; }
                replaced=$(digest)
            fi
        fi
    else
        after=$(digest)
    fi
    echo "JUDGE $1 examine=$examine before=${before:-$after} after=$after mismatches=$mismatches replaced=$replaced" \
        "policy=$(cat $md/consistency_policy 2>/dev/null) events=$(mdadm --examine ${loops[0]} | sed -n 's/.*Events : //p')"
    detach
}

for directory in "$exchange"/ours/*/; do
    [ -d "$directory" ] && step judge "$(basename "$directory")"
done
finish passed
