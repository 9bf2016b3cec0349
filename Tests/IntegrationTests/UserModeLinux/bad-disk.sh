#!/bin/bash
# One member lies on a disk that goes bad: reads of some blocks fail (dm-dust), later all writes do (dm-flakey). Clients
# see no error, the array goes on without the member, and the member does not come back with old data.
. "$(dirname "$0")/common.sh"

modules=/usr/lib/uml/modules/$(uname -r)
for name in loop dm-mod dm-dust dm-flakey nbd; do
    module=$(find "$modules" -name "$name.ko" | head -n 1)
    [ -z "$module" ] || insmod "$module" 2>/dev/null || true
done
uri='nbd+unix:///?socket=/run/test/socket'
# Reads 24 MiB and compares them.
holds() {
    qemu-io -r -f raw -c "read -P $1 0 24M" "$uri" >read.log 2>&1 || { cat read.log; return 1; }
    ! grep -qi 'failed\|error' read.log || { cat read.log; return 1; }
}
fills() { qemu-io -f raw -c "write -P $1 0 24M" -c flush "$uri" >write.log 2>&1 && ! grep -qi 'failed\|error' write.log; }
state() { "$nbdext" status array | grep -i '^state' || "$nbdext" status array; }
# Puts a table under the sick disk.
table() {
    dmsetup --noudevsync suspend --noflush sick
    dmsetup --noudevsync reload sick --table "$1"
    dmsetup --noudevsync resume sick
}

truncate -s 64M disk.img
step losetup /dev/loop0 disk.img
sectors=$(blockdev --getsz /dev/loop0)
step dmsetup --noudevsync create sick --table "0 $sectors dust /dev/loop0 0 4096"
dmsetup --noudevsync mknodes
step mkfs.ext4 -q /dev/mapper/sick
mkdir sick
step mount /dev/mapper/sick sick
step "$nbdext" create array --level 5 --members 4 --size 24M
step mv array/member-1.img sick/member-1.img
step ln -s /run/test/sick/member-1.img array/member-1.img

# Blocks that cannot be read: they are computed from the others and written anew. dm-dust takes a block that is written for
# a good one.
step start array
step fills 1
step stop
sync
filefrag -v -b512 sick/member-1.img >extents.log
# The last extent is data; the first holds the superblock.
first=$(sed -n 's/^ *[0-9]*: *[0-9]*\.\. *[0-9]*: *\([0-9]*\)\.\..*/\1/p' extents.log | tail -n 1)
step [ -n "$first" ]
# Two chunks in a row: one of them at most is parity, which nobody reads.
damage() {
    for block in $(seq $((first / 8)) $((first / 8 + 31))); do
        dmsetup message sick 0 addbadblock "$block" || finish "failed: addbadblock"
    done
    echo 3 >/proc/sys/vm/drop_caches
}
damage
step dmsetup message sick 0 enable
step start array
step holds 1
# Half of them were data, and are healed; a check reads parity too.
left() { dmsetup message sick 0 countbadblocks | sed 's/[^0-9]*\([0-9]*\).*/\1/'; }
echo "blocks left: $(left)"
step [ "$(left)" -lt 32 ]
"$nbdext" check array
step [ "$(left)" -eq 0 ]
step grep 'member 1 .* rewritten' server.log
"$nbdext" top array --prometheus >top.log 2>&1 || true
step stop
step eval '! grep -q "goes on without" server.log'
step eval '! "$nbdext" status array | grep -q "failed\|stale\|missing"'
echo 3 >/proc/sys/vm/drop_caches
step start array
step holds 1

# The same when the server was killed: what parity there was is made from data, and data from parity only if that is wanted.
step fills 1
step kill -KILL $server
wait $server
sync
damage
step eval '! start array >refused.log'
step grep 'member-1.img cannot read the 4096 bytes at byte .* accept that with --force' refused.log
step start array --force
step grep 'blocks of 4096 bytes could not be read and were computed from the other members' server.log
step holds 1
step stop
step [ "$(left)" -eq 0 ]
step dmsetup message sick 0 disable

# Writes that fail: the member is failed, nothing that was flushed is lost, and its old data does not come back.
step rm -rf array/member-1.img sick/member-1.img array
step "$nbdext" create array --level 5 --members 4 --size 24M
step mv array/member-1.img sick/member-1.img
step ln -s /run/test/sick/member-1.img array/member-1.img
step start array
step fills 2
step table "0 $sectors flakey /dev/loop0 0 0 3600 1 error_writes"
step fills 3
step holds 3
step stop
step table "0 $sectors linear /dev/loop0 0"
state
step start array
echo 3 >/proc/sys/vm/drop_caches
step holds 3
step stop
"$nbdext" status array
step eval '"$nbdext" status array | grep -q "failed\|stale\|missing"'
finish passed
