#!/bin/bash
# A real kernel's NBD client and file system on a RAID 5 array: a tree is copied in, and is the same after a restart of
# the server and after the loss of a member, which is served by a driver in a process of its own.
. "$(dirname "$0")/common.sh"

step insmod "$(find /usr/lib/uml/modules -name nbd.ko | head -n 1)"
attach() { nbd-client -unix /run/test/socket /dev/nbd0 >client.log 2>&1 || { cat client.log; return 1; }; }
mkdir -p mount

step "$nbdext" create array --level 5 --members 4 --size 256M
step start array
step attach
step mkfs.ext4 -q /dev/nbd0
step mount /dev/nbd0 mount
step cp -a "$tree" mount/tree
step umount mount
step fsck.ext4 -fn /dev/nbd0
step nbd-client -d /dev/nbd0
step stop

step start array
step attach
step fsck.ext4 -fn /dev/nbd0
step mount -o ro /dev/nbd0 mount
step diff -r --no-dereference "$tree" mount/tree
step umount mount
step nbd-client -d /dev/nbd0
step stop

step rm array/member-1.img
step start array --driver-host process
step attach
step mount /dev/nbd0 mount
step diff -r --no-dereference "$tree" mount/tree
step cp -a "$tree" mount/again
step umount mount
step fsck.ext4 -fn /dev/nbd0
step mount -o ro /dev/nbd0 mount
step diff -r --no-dereference "$tree" mount/again
step umount mount
step nbd-client -d /dev/nbd0
step stop
finish passed
