#!/bin/bash
# What is left after the power has failed: md recovers the array on the first block device, nbdext the one on the second, an
# equal one. Both leave the lower 12 MiB as they find them in the exchange directory, and md looks for wrong parity.
. "$(dirname "$0")/md-common.sh"

for disk in a b; do
    [ -e /dev/ubd$disk ] || mknod /dev/ubd$disk b 98 $(($(printf %d "'$disk") * 16 - 97 * 16))
    mkdir $disk
    step mount -t ext4 /dev/ubd$disk $disk
done

# check CASE DIRECTORY: lets md have an array and look for wrong parity.
check() {
    attach "$2"/member-*.img || return 1
    mdadm --assemble --run $block "${loops[@]}" >log 2>&1 || { cat log; return 1; }
    idle || return 1
    head -c 12M $block >"$exchange/$1.img" || return 1
    echo check >$md/sync_action
    idle || return 1
    echo "JUDGE $1 mismatches=$(cat $md/mismatch_cnt) degraded=$(cat $md/degraded)"
    detach
}

step check md a/array
step start b/array
grep -v '^ready' server.log
step eval 'nbdcopy "nbd+unix:///?socket=/run/test/socket" - | head -c 12M >"$exchange/ours.img"'
step stop
step check ours-by-md b/array
finish passed
