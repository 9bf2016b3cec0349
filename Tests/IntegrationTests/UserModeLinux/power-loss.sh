#!/bin/bash
# The power fails while clients write. The disk is the first block device, a file of the host's: it keeps what it was told to
# make durable, and whatever else it got to by then. The lower 12 MiB of the array get batches of eight blocks and a flush,
# which is told to the host; the upper ones get what nobody waits for.
. "$(dirname "$0")/common.sh"

for word in $(cat /proc/cmdline); do
    case $word in
    policy=*) policy=${word#policy=} ;;
    life=*) life=${word#life=} ;;
    esac
done
insmod "$(find "/usr/lib/uml/modules/$(uname -r)" -name nbd.ko)"
[ -e /dev/nbd0 ] || mknod /dev/nbd0 b 43 0
[ -e /dev/ubda ] || mknod /dev/ubda b 98 0
uri='nbd+unix:///?socket=/run/test/socket'
mkdir disk
step mount -t ext4 /dev/ubda disk
step "$nbdext" create disk/array --level 5 --members 4 --size 24M --consistency "$policy"
sync
step start disk/array
fio --name=load --ioengine=nbd --uri="$uri" --rw=randwrite --bsrange=512-64k --bs_unaligned --iodepth=8 --rate_iops=250 --offset=12m \
    --size=12m --io_size=100g --time_based --runtime=60 >fio.log 2>&1 &
step nbd-client -unix /run/test/socket /dev/nbd0
for batch in $(seq 100000); do
    head -c 4096 /dev/zero | tr '\0' "\\$(printf %o $((batch % 255 + 1)))" >pattern
    for index in $(seq 0 7); do
        block=$(((batch * 7919 + index * 1009) % 3072))
        dd if=pattern of=/dev/nbd0 bs=4k seek=$block oflag=direct conv=notrunc 2>>write.log &
        writers[index]=$!
    done
    wait "${writers[@]}" || finish "failed: $(cat write.log)"
    # Nothing but the flush.
    dd if=/dev/null of=/dev/nbd0 conv=notrunc,fsync 2>>write.log || finish "failed: $(cat write.log)"
    echo "DURABLE $batch"
    # A busy host takes its time to get here.
    if [ "$batch" -eq 1 ]; then (sleep "$life"; echo o >/proc/sysrq-trigger) & fi
done
