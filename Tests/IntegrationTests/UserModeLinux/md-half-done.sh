#!/bin/bash
# Changes of shape by md, for the test to cut in two: exchange/theirs/CASE/m*.img, and superblocks of another moment,
# m*.superblock.
. "$(dirname "$0")/md-common.sh"

# create MEMBERS OPTION...: a new array of mdadm's on files of 24 MiB that hold random bytes.
create() {
    mkdir members
    local index files=()
    for index in $(seq 0 $(($1 - 1))); do
        head -c 24M /dev/urandom >members/m$index.img
        files+=(members/m$index.img)
    done
    attach "${files[@]}" || return 1
    mdadm --create $block --run --quiet --level=5 --chunk=64 "${@:2}" "${loops[@]}" >log 2>&1 || { cat log; return 1; }
    idle
}
# keep CASE SHA: the members as they are go to the host.
keep() {
    mkdir -p "$exchange/theirs/$1"
    cp members/*.img "$exchange/theirs/$1"
    echo "JUDGE $1 sha=$2"
}
# keep_superblocks CASE: the superblocks alone.
keep_superblocks() {
    mkdir -p "$exchange/theirs/$1"
    local file
    for file in members/*.img; do
        dd if=$file of="$exchange/theirs/$1/$(basename $file .img).superblock" bs=4k skip=1 count=1 status=none
    done
}
slow() {
    echo 20 >/proc/sys/dev/raid/speed_limit_max
    echo 10 >/proc/sys/dev/raid/speed_limit_min
}
fast() {
    echo 1000000 >/proc/sys/dev/raid/speed_limit_max
    echo 1000000 >/proc/sys/dev/raid/speed_limit_min
}

# The component size is raised, and the power fails long before the parity of what is new is made. (md would call the array
# clean if it was stopped now.)
grown() {
    create 3 --raid-devices=3 --size=8M --bitmap=internal --bitmap-chunk=64K || return 1
    keep_superblocks grown
    slow
    mdadm --grow $block --size=max >log 2>&1 || { cat log; return 1; }
    sync
    keep grown "$(digest)"
    fast
    detach
}
step grown

# A fourth member: before, and after; the superblocks are of the time between.
reshaped() {
    create 4 --raid-devices=3 --spare-devices=1 --bitmap=none || return 1
    local sum
    sum=$(digest)
    mdadm --stop $block >/dev/null 2>&1
    keep begin "$sum"
    mdadm --assemble $block "${loops[@]}" >log 2>&1 || { cat log; return 1; }
    slow
    mdadm --grow $block --raid-devices=4 >log 2>&1 || { cat log; return 1; }
    sleep 0.5
    keep_superblocks begin
    keep_superblocks end
    fast
    idle
    sleep 0.5
    idle
    sum=$(digest)
    mdadm --stop $block >/dev/null 2>&1
    keep end "$sum"
    detach
}
step reshaped
finish passed
