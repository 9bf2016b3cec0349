# Sourced by the scripts in which a real md driver judges. Behind "exchange=" on the kernel's command line is the
# directory through which arrays come and go. What md finds is printed, one line for each case: JUDGE CASE KEY=VALUE...

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
    while [ "$(cat $md/sync_action)" != idle ]; do sleep 0.05; done
}
digest() { sha256sum <$block | cut -d ' ' -f 1; }
