#!/bin/bash
# dd on the raw device of a real kernel: a complete profile takes any block size, one that promises more than the
# driver takes fails with EIO as soon as the kernel sends more than that, and the driver does not see it.
. "$(dirname "$0")/common.sh"

step insmod "$(find /usr/lib/uml/modules -name nbd.ko | head -n 1)"
step "$nbdext" create array --level 5 --members 4 --size 48M

# begin PROFILE KIB: serves the array; the kernel's requests are up to so many KiB large.
begin() {
    step start array --profile "$1" --constraints macos --trace /run/test/trace
    step nbd-client -unix /run/test/socket /dev/nbd0
    step eval "echo $2 >/sys/block/nbd0/queue/max_sectors_kb"
}
end() {
    step nbd-client -d /dev/nbd0
    step stop
}
write() { dd if=/dev/zero of=/dev/nbd0 bs=2M count=2 oflag=direct >dd.log 2>&1; }
# largest: the bytes of the largest write that the driver has seen.
largest() {
    local largest=0 bytes
    for bytes in $(sed -n 's/.*\[WRITE([0-9]*)\] DataLength \(0x[0-9a-f]*\).*/\1/p' trace); do
        [ $((bytes)) -gt $largest ] && largest=$((bytes))
    done
    echo $largest
}

begin dext-complete 2048
step write
echo "the largest write: $(largest)"
step [ "$(largest)" -gt 65536 ]
end

begin dext-64k 2048
write && finish "failed: a write of 2 MiB under dext-64k"
step grep -q 'Input/output error' dd.log
step [ "$(largest)" = 0 ]
step grep -q 'driver fault B32' server.log
end

# The same profile, and a kernel that sends no more than the driver takes.
begin dext-64k 64
step write
step [ "$(largest)" = 65536 ]
end
finish passed
