# Sourced by the scripts that run as init of a User-mode Linux kernel. The first argument on the kernel's command
# line behind "nbdext=" is the server's program, behind "libraries=" where its libraries are.

export PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o size=900M tmpfs /run
mount -t devtmpfs dev /dev 2>/dev/null
ip link set lo up 2>/dev/null
for word in $(cat /proc/cmdline); do
    case $word in
    nbdext=*) nbdext=${word#nbdext=} ;;
    libraries=*) export LD_LIBRARY_PATH=${word#libraries=} ;;
    tree=*) tree=${word#tree=} ;;
    esac
done
mkdir -p /run/test && cd /run/test

# Ends the machine with a line that says how the test went.
finish() {
    echo "RESULT $1"
    sync
    echo o >/proc/sysrq-trigger
    sleep 10
}

# A server or client that hangs fails the test rather than holding it up. The longest script takes half a minute alone.
(sleep 540 && finish "failed: not done in time") &

# Runs a command; the first one that fails ends the test.
step() {
    echo "step: $*"
    "$@" || finish "failed: $*"
}

# start ARRAY [OPTION...]: serves an array on /run/test/socket.
start() {
    # Before the server does it: the last one's "ready" is not this one's.
    : >server.log
    "$nbdext" serve "$@" --socket /run/test/socket >>server.log 2>&1 &
    server=$!
    while :; do
        grep -q '^ready:' server.log && return 0
        kill -0 $server 2>/dev/null || break
        sleep 0.1
    done
    cat server.log
    return 1
}

# Ends the server as a service manager would; it must report success.
stop() {
    kill -TERM $server
    wait $server
}
