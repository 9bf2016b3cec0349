#!/bin/bash
# Members on a file system that fills up: the client sees ENOSPC, what was acknowledged stays, and parity stays right.
. "$(dirname "$0")/common.sh"

insmod "$(find /usr/lib/uml/modules -name loop.ko | head -n 1)" 2>/dev/null
mkdir small
truncate -s 40M small.img
step mkfs.ext4 -q -O ^has_journal small.img
step mount -o loop small.img small
step "$nbdext" create small/array --level 5 --members 4 --size 60M
step start small/array
uri='nbd+unix:///?socket=/run/test/socket'

# Writes 1 MiB at a time until one fails, and keeps the number of those that were acknowledged.
written=0
while [ $written -lt 60 ]; do
    qemu-io -f raw -c "write -P $((written + 1)) ${written}M 1M" "$uri" >write.log 2>&1 || break
    grep -q 'No space left' write.log && break
    written=$((written + 1))
done
echo "acknowledged: $written MiB"
step [ $written -gt 4 ]
step [ $written -lt 60 ]
step grep -q 'No space left' write.log

check() {
    for block in $(seq 0 $((written - 1))); do
        qemu-io -r -f raw -c "read -P $((block + 1)) ${block}M 1M" "$uri" >read.log 2>&1 || return 1
        grep -q 'Pattern verification failed' read.log && return 1
    done
    return 0
}
step check
step stop
step start small/array
step check
step stop
# Without a member every block comes out of parity.
step rm small/array/member-2.img
step start small/array
step check
step stop
finish passed
