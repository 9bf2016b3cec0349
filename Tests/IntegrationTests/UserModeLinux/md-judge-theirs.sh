#!/bin/bash
# Arrays of mdadm's for nbdext to open or to refuse: exchange/theirs/CASE/m*.img.
. "$(dirname "$0")/md-common.sh"

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
# fill: writes the first third of the array, in requests of several sizes.
fill() {
    local size
    size=$(($(cat /sys/block/md0/size) / 2))
    head -c $((size / 3 * 1024)) /dev/urandom | dd of=$block bs=100k iflag=fullblock conv=fsync status=none
    dd if=/dev/urandom of=$block bs=4k seek=33 count=21 oflag=sync status=none
    dd if=/dev/urandom of=$block bs=512 seek=1237 count=5 oflag=sync status=none
}
# keep CASE: the members as they are go to the host.
keep() {
    mkdir -p "$exchange/theirs/$1"
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

step theirs raid0-4k 2 6M --level=0 --raid-devices=2 --chunk=4 --name=host:zero
step theirs raid0-512k 3 8M --level=0 --raid-devices=3 --chunk=512
step theirs raid5-4k 3 6M --level=5 --raid-devices=3 --chunk=4 --assume-clean --bitmap=none
step theirs raid5-64k-bitmap 4 6M --level=5 --raid-devices=4 --chunk=64 --assume-clean --bitmap=internal --bitmap-chunk=64K
step theirs raid5-64k-ppl 4 8M --level=5 --raid-devices=4 --chunk=64 --assume-clean --consistency-policy=ppl
step theirs raid5-512k-ppl 5 10M --level=5 --raid-devices=5 --chunk=512 --assume-clean --consistency-policy=ppl
step theirs raid5-1m 4 14M --level=5 --raid-devices=4 --chunk=1024 --assume-clean --bitmap=none
step theirs raid5-spare 4 6M --level=5 --raid-devices=3 --spare-devices=1 --chunk=64 --force --bitmap=internal

step foreign raid1 2 6M --level=1 --raid-devices=2 --assume-clean --bitmap=none
step foreign raid6 4 6M --level=6 --raid-devices=4 --chunk=64 --assume-clean --bitmap=none
step foreign right-asymmetric 3 6M --level=5 --raid-devices=3 --chunk=64 --layout=ra --assume-clean --bitmap=none
step foreign metadata-0.90 3 6M --level=5 --raid-devices=3 --chunk=64 --metadata=0.90 --assume-clean --bitmap=none
step foreign metadata-1.0 3 6M --level=5 --raid-devices=3 --chunk=64 --metadata=1.0 --assume-clean --bitmap=none
step foreign metadata-1.1 3 6M --level=5 --raid-devices=3 --chunk=64 --metadata=1.1 --assume-clean --bitmap=none
step foreign chunk-12k 2 6M --level=0 --raid-devices=2 --chunk=12

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

# A replacement is slow enough to be seen on its way, too.
replacement() {
    create 4 24M --level=5 --raid-devices=3 --spare-devices=1 --chunk=64 --assume-clean --bitmap=none || return 1
    fill
    echo 1000 >/proc/sys/dev/raid/speed_limit_min
    echo 1000 >/proc/sys/dev/raid/speed_limit_max
    mdadm $block --replace /dev/loop1 --with /dev/loop3 >log 2>&1 || { cat log; return 1; }
    sleep 3
    local sum
    sum=$(digest)
    mdadm --stop $block >/dev/null 2>&1
    echo 1000000 >/proc/sys/dev/raid/speed_limit_max
    echo 1000000 >/proc/sys/dev/raid/speed_limit_min
    keep raid5-replacing "$sum"
    detach
}
step replacement

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
