#include "CEscape.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct targets {
    const char *member;
    const char *socket;
};

static int outcome(long value) { return value < 0 ? errno : 0; }

static int opens(const char *path, int flags) {
    int file = open(path, flags, 0600);
    if (file < 0) return errno;
    close(file);
    return 0;
}

static const char *of_parent(const char *name) {
    static char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", getppid(), name);
    return path;
}

static int parent_memory(struct targets unused) { return opens(of_parent("mem"), O_RDWR); }
static int parent_memory_read_only(struct targets unused) { return opens(of_parent("mem"), O_RDONLY); }
static int parent_map(struct targets unused) { return opens(of_parent("maps"), O_RDONLY); }
static int parent_environment(struct targets unused) { return opens(of_parent("environ"), O_RDONLY); }

static int parent_descriptors(struct targets unused) {
    // How many there are can be seen, not what they are.
    char target[256];
    for (int descriptor = 0; descriptor < 64; descriptor++) {
        char name[16];
        snprintf(name, sizeof name, "fd/%d", descriptor);
        if (readlink(of_parent(name), target, sizeof target) >= 0) return 0;
    }
    return errno;
}

static int parent_descriptor(struct targets unused) { return opens(of_parent("fd/0"), O_RDONLY); }
static int parent_traced(struct targets unused) { return outcome(ptrace(PTRACE_ATTACH, getppid(), 0, 0)); }

static int parent_read(struct targets unused) {
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)parent_read, 1};
    return outcome(process_vm_readv(getppid(), &here, 1, &there, 1, 0));
}

static int parent_killed(struct targets unused) { return outcome(kill(getppid(), 0)); }
static int group_killed(struct targets unused) { return outcome(kill(-getppid(), 0)); }
static int parent_found(struct targets unused) { return outcome(syscall(434, getppid(), 0)); }

static int parent_signalled(struct targets unused) {
    int ends[2];
    if (pipe(ends) < 0) return 0;
    return outcome(fcntl(ends[0], F_SETOWN, getppid()));
}

static int parent_limited(struct targets unused) {
    struct rlimit limit;
    return outcome(prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit));
}

static int parent_moved(struct targets unused) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    return outcome(sched_setaffinity(getppid(), sizeof set, &set));
}

static int member_read(struct targets targets) { return opens(targets.member, O_RDONLY); }
static int member_written(struct targets targets) { return opens(targets.member, O_WRONLY); }
static int member_cut(struct targets targets) { return outcome(truncate(targets.member, 0)); }
static int member_removed(struct targets targets) { return outcome(unlink(targets.member)); }
static int member_renamed(struct targets targets) { return outcome(rename(targets.member, "/tmp/nbdext-escaped")); }
static int member_linked(struct targets targets) { return outcome(link(targets.member, "/tmp/nbdext-escaped")); }
static int member_opened_to_all(struct targets targets) { return outcome(chmod(targets.member, 0666)); }
static int member_given_away(struct targets targets) { return outcome(chown(targets.member, getuid(), getgid())); }

static int member_by_handle(struct targets targets) {
    char space[sizeof(struct file_handle) + 128];
    struct file_handle *handle = (struct file_handle *)space;
    handle->handle_bytes = 128;
    int mount;
    return outcome(name_to_handle_at(AT_FDCWD, targets.member, handle, &mount, 0));
}

static int directory_listed(struct targets unused) {
    DIR *directory = opendir("/");
    if (directory == NULL) return errno;
    closedir(directory);
    return 0;
}

static int file_made(struct targets unused) { return opens("/tmp/nbdext-escaped", O_WRONLY | O_CREAT); }
static int file_made_in_memory(struct targets unused) { return opens("/dev/shm/nbdext-escaped", O_WRONLY | O_CREAT); }
static int password_file(struct targets unused) { return opens("/etc/passwd", O_RDONLY); }

static int control_socket(struct targets targets) {
    int end = socket(AF_UNIX, SOCK_STREAM, 0);
    if (end < 0) return errno;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, targets.socket, sizeof address.sun_path - 1);
    return outcome(connect(end, (struct sockaddr *)&address, sizeof address));
}

static int network(struct targets unused) { return outcome(socket(AF_INET, SOCK_STREAM, 0)); }
static int network_6(struct targets unused) { return outcome(socket(AF_INET6, SOCK_DGRAM, 0)); }
static int routing(struct targets unused) { return outcome(socket(AF_NETLINK, SOCK_RAW, 0)); }

static int datagrams(struct targets unused) {
    int ends[2];
    return outcome(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
}

static int ring(struct targets unused) {
    struct io_uring_params parameters = {0};
    return outcome(syscall(SYS_io_uring_setup, 4, &parameters));
}

static int name_space(struct targets unused) { return outcome(unshare(CLONE_NEWUSER)); }
static int mounted(struct targets unused) { return outcome(mount("none", "/mnt", "tmpfs", 0, NULL)); }
static int root_changed(struct targets unused) { return outcome(chroot("/")); }
static int shared_segment(struct targets unused) { return outcome(syscall(SYS_shmget, 0x6E626478, 4096, 01666)); }

/// In a child that would no longer be found with the driver's process group.
static int group_left(struct targets unused) {
    pid_t child = fork();
    if (child < 0) return errno;
    if (child == 0) _exit(setsid() < 0 ? errno : 0);
    int status;
    if (waitpid(child, &status, 0) < 0) return errno;
    return WEXITSTATUS(status);
}

/// Whether it has any, or could get them by a program. To read what others own is no more than Landlock allows.
static int privileges(struct targets unused) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0) return 0;
    if (((data[0].effective | data[0].permitted) & ~(1u << CAP_DAC_READ_SEARCH)) != 0) return 0;
    if ((data[1].effective | data[1].permitted) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return 0;
    return EPERM;
}

static int more_descriptors(struct targets unused) {
    for (int descriptor = 6; descriptor < 1024; descriptor++) {
        char path[64], target[256];
        snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
        long length = readlink(path, target, sizeof target - 1);
        if (length < 0) continue;
        target[length] = 0;
        // What the driver's own library has opened meanwhile is memory.
        if (strstr(target, "memfd:") == NULL && strstr(target, "/dev/null") == NULL && strstr(target, "pipe:") == NULL) return 0;
    }
    return EBADF;
}

static const struct {
    const char *name;
    int (*attempt)(struct targets);
} attempts[] = {
    {"parent's memory", parent_memory},
    {"parent's memory, to read", parent_memory_read_only},
    {"parent's map", parent_map},
    {"parent's environment", parent_environment},
    {"parent's descriptors", parent_descriptors},
    {"parent's descriptor 0", parent_descriptor},
    {"to trace the parent", parent_traced},
    {"to read the parent's memory", parent_read},
    {"to kill the parent", parent_killed},
    {"to kill the parent's group", group_killed},
    {"a descriptor of the parent", parent_found},
    {"a signal by a pipe", parent_signalled},
    {"the parent's limits", parent_limited},
    {"the parent's processors", parent_moved},
    {"to read a member", member_read},
    {"to write a member", member_written},
    {"to cut a member", member_cut},
    {"to remove a member", member_removed},
    {"to rename a member", member_renamed},
    {"to link a member", member_linked},
    {"a member's rights", member_opened_to_all},
    {"a member's owner", member_given_away},
    {"a member's handle", member_by_handle},
    {"to list a directory", directory_listed},
    {"to make a file", file_made},
    {"to make a file in memory", file_made_in_memory},
    {"the list of users", password_file},
    {"the control socket", control_socket},
    {"the network", network},
    {"the network, version 6", network_6},
    {"the routing table", routing},
    {"datagrams", datagrams},
    {"a ring", ring},
    {"a name space", name_space},
    {"a mount", mounted},
    {"another root", root_changed},
    {"a shared segment", shared_segment},
    {"to leave the group", group_left},
    {"privileges", privileges},
    {"more descriptors", more_descriptors},
};

const char *nbdext_escape_name(int number) {
    return number < (int)(sizeof attempts / sizeof *attempts) ? attempts[number].name : NULL;
}

int nbdext_escape(int number, const char *member, const char *socket) {
    return attempts[number].attempt((struct targets){member, socket});
}

void nbdext_run_without_landlock(char *const arguments[]) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 444 /* landlock_create_ruleset */, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) return;
    execv(arguments[0], arguments);
}
