#!/bin/bash
# The real md, to judge ours by. In the directory "exchange":
#   ours/CASE/*.img     arrays that nbdext made; md assembles copies of them, reads them and checks their parity.
#   theirs/CASE/m*.img  arrays that mdadm makes here, and writes to.
# What md finds is printed, one line for each case: JUDGE CASE KEY=VALUE...
. "$(dirname "$0")/common.sh"

for word in $(cat /proc/cmdline); do
    case $word in exchange=*) exchange=${word#exchange=} ;; esac
done
modules=/usr/lib/uml/modules/$(uname -r)
load() {
    local file
    for file in $(sed -n "s|^kernel/.*/$1.ko: ||p" "$modules/modules.dep" | tr ' ' '\n' | tac); do
        insmod "$modules/$file" 2>/dev/null
    done
    insmod "$(find "$modules" -name "$1.ko")" "${@:2}"
}
step load loop max_loop=16
step load raid456
step load raid0
step load raid1
echo 1000000 >/proc/sys/dev/raid/speed_limit_min
md=/sys/block/md0/md
block=/dev/md0
[ -e $block ] || mknod $block b 9 0

# attach FILE...: makes loop devices of files, and names them in $loops.
attach() {
    loops=()
    local index=0 file
    for file; do
        [ -e /dev/loop$index ] || mknod /dev/loop$index b 7 $index
        losetup /dev/loop$index "$file" || return 1
        loops+=(/dev/loop$index)
        index=$((index + 1))
    done
}
detach() {
    mdadm --stop $block >/dev/null 2>&1
    local loop
    for loop in "${loops[@]}"; do losetup -d $loop; done
    rm -rf members
}
# Waits until md is done with resyncing, rebuilding or checking.
idle() {
    local _
    for _ in $(seq 600); do
        [ "$(cat $md/sync_action)" = idle ] && return 0
        sleep 0.05
    done
    return 1
}
digest() { sha256sum <$block | cut -d ' ' -f 1; }

# judge CASE: what md thinks of one of our arrays.
judge() {
    local directory=$exchange/ours/$1 examine=ok before= mismatches=- loop
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
    else
        after=$(digest)
    fi
    echo "JUDGE $1 examine=$examine before=${before:-$after} after=$after mismatches=$mismatches" \
        "policy=$(cat $md/consistency_policy 2>/dev/null) events=$(mdadm --examine ${loops[0]} | sed -n 's/.*Events : //p')"
    detach
}

# create MEMBERS SIZE OPTION...: a new array of mdadm's.
create() {
    mkdir members
    local index files=()
    for index in $(seq 0 $(($1 - 1))); do
        truncate -s "$2" members/m$index.img
        files+=(members/m$index.img)
    done
    attach "${files[@]}" || return 1
    mdadm --create $block --run --quiet "${@:3}" "${loops[@]}" >log 2>&1 || { cat log; return 1; }
    # Stays dirty after a write until it is stopped.
    [ ! -e $md/safe_mode_delay ] || echo 100 >$md/safe_mode_delay
}
# fill: writes all of the array but its last part, in requests of several sizes.
fill() {
    local size
    size=$(($(cat /sys/block/md0/size) / 2))
    head -c $((size * 3 / 4 * 1024)) /dev/urandom | dd of=$block bs=100k iflag=fullblock conv=fsync status=none
    dd if=/dev/urandom of=$block bs=4k seek=33 count=21 oflag=sync status=none
    dd if=/dev/urandom of=$block bs=512 seek=1237 count=5 oflag=sync status=none
    sync
}
# keep CASE: the members as they are go to the host.
keep() {
    mkdir -p "$exchange/theirs/$1"
    sync
    cp --sparse=always members/*.img "$exchange/theirs/$1"
    echo "JUDGE $1 sha=${2:-none}"
}
# theirs CASE MEMBERS SIZE OPTION...: an array of mdadm's in three states: CASE-clean, CASE-dirty and, for RAID 5,
# CASE-degraded, where m1.img has failed and missed writes.
theirs() {
    create "${@:2}" || return 1
    [ ! -e $md/sync_action ] || idle
    fill
    keep "$1-dirty" "$(digest)"
    mdadm --stop $block >/dev/null 2>&1
    mdadm --assemble --readonly $block "${loops[@]}" >log 2>&1
    local sum
    sum=$(digest)
    mdadm --stop $block >/dev/null 2>&1
    keep "$1-clean" "$sum"
    if [[ " $* " == *" --level=5 "* ]]; then
        mdadm --assemble $block "${loops[@]}" >log 2>&1 || { cat log; return 1; }
        mdadm --fail $block /dev/loop1 >log 2>&1
        dd if=/dev/urandom of=$block bs=4k seek=50 count=40 oflag=sync status=none
        sum=$(digest)
        mdadm --stop $block >/dev/null 2>&1
        keep "$1-degraded" "$sum"
    fi
    detach
}
# foreign CASE MEMBERS SIZE OPTION...: an array of a kind that we refuse.
foreign() {
    create "${@:2}" || return 1
    dd if=/dev/urandom of=$block bs=4k count=64 conv=fsync status=none
    mdadm --stop $block >/dev/null 2>&1
    keep "$1"
    detach
}

for directory in "$exchange"/ours/*/; do
    [ -d "$directory" ] && step judge "$(basename "$directory")"
done

step theirs raid0-4k 2 12M --level=0 --raid-devices=2 --chunk=4 --name=host:zero
step theirs raid0-512k 3 12M --level=0 --raid-devices=3 --chunk=512
step theirs raid5-4k 3 12M --level=5 --raid-devices=3 --chunk=4 --assume-clean --bitmap=none
step theirs raid5-64k-bitmap 4 12M --level=5 --raid-devices=4 --chunk=64 --assume-clean --bitmap=internal --bitmap-chunk=64K
step theirs raid5-64k-ppl 4 16M --level=5 --raid-devices=4 --chunk=64 --assume-clean --consistency-policy=ppl
step theirs raid5-512k-ppl 5 16M --level=5 --raid-devices=5 --chunk=512 --assume-clean --consistency-policy=ppl
step theirs raid5-1m 4 16M --level=5 --raid-devices=4 --chunk=1024 --assume-clean --bitmap=none
step theirs raid5-spare 4 12M --level=5 --raid-devices=3 --spare-devices=1 --chunk=64 --force --bitmap=internal

step foreign raid1 2 12M --level=1 --raid-devices=2 --assume-clean --bitmap=none
step foreign raid6 4 12M --level=6 --raid-devices=4 --chunk=64 --assume-clean --bitmap=none
step foreign right-asymmetric 3 12M --level=5 --raid-devices=3 --chunk=64 --layout=ra --assume-clean --bitmap=none
step foreign metadata-0.90 3 12M --level=5 --raid-devices=3 --chunk=64 --metadata=0.90 --assume-clean --bitmap=none
step foreign metadata-1.0 3 12M --level=5 --raid-devices=3 --chunk=64 --metadata=1.0 --assume-clean --bitmap=none
step foreign metadata-1.1 3 12M --level=5 --raid-devices=3 --chunk=64 --metadata=1.1 --assume-clean --bitmap=none
step foreign chunk-12k 2 12M --level=0 --raid-devices=2 --chunk=12

# A journal is a device of its own.
journal() {
    mkdir members
    truncate -s 12M members/m{0,1,2,3}.img
    attach members/m{0,1,2,3}.img || return 1
    mdadm --create $block --run --quiet --level=5 --raid-devices=3 --chunk=64 --assume-clean \
        --write-journal=/dev/loop3 /dev/loop{0,1,2} >log 2>&1 || { cat log; return 1; }
    mdadm --stop $block >/dev/null 2>&1
    keep journal
    detach
}
step journal

# A reshape is slow enough to be seen on its way.
reshape() {
    create 4 24M --level=5 --raid-devices=3 --spare-devices=1 --chunk=64 --assume-clean --bitmap=none || return 1
    fill
    echo 20 >/proc/sys/dev/raid/speed_limit_max
    echo 10 >/proc/sys/dev/raid/speed_limit_min
    mdadm --grow $block --raid-devices=4 >log 2>&1 || { cat log; return 1; }
    sleep 0.5
    keep reshape
    echo frozen >$md/sync_action
    detach
}
step reshape
finish passed
