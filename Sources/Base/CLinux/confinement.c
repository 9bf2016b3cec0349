// Starts a driver's process, isolated from the rest of the system as far as the kernel allows it.
//
// Numbers that older headers lack are written out here. The program finds out at run time which of them the kernel
// knows.

#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// MARK: Landlock, landlock(7)

enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446 };

#define FS_EXECUTE (1ULL << 0)
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)

struct ruleset_attributes {
    uint64_t handled_fs;
    uint64_t handled_net;
    uint64_t scoped;
};

struct __attribute__((packed)) path_rule {
    uint64_t allowed;
    int32_t parent;
};

int nbdext_landlock_version(void) {
    long version = syscall(CREATE_RULESET, NULL, 0, 1);
    return version < 0 ? 0 : (int)version;
}

int nbdext_landlock_ruleset(void) {
    int version = nbdext_landlock_version();
    if (version == 0) return -EOPNOTSUPP;
    // The rights on files, in the order of their introduction: 13, then REFER, TRUNCATE, and with version 5 IOCTL_DEV.
    int count = version >= 5 ? 16 : version >= 3 ? 15 : version >= 2 ? 14 : 13;
    struct ruleset_attributes attributes = {
        .handled_fs = (1ULL << count) - 1,
        // Bind and connect for TCP sockets.
        .handled_net = version >= 4 ? 3 : 0,
        // Abstract Unix sockets, and signals to processes outside.
        .scoped = version >= 6 ? 3 : 0,
    };
    size_t size = version >= 6 ? sizeof attributes
        : version >= 4         ? offsetof(struct ruleset_attributes, scoped)
                               : offsetof(struct ruleset_attributes, handled_net);
    long ruleset = syscall(CREATE_RULESET, &attributes, size, 0);
    return ruleset < 0 ? -errno : (int)ruleset;
}

int nbdext_landlock_allow(int ruleset, const char *path, int may_write) {
    int file = open(path, O_PATH | O_CLOEXEC);
    if (file < 0) return -errno;
    struct stat status;
    int error = fstat(file, &status) < 0 ? errno : 0;
    if (error == 0) {
        struct path_rule rule = {.allowed = FS_READ_FILE | FS_EXECUTE, .parent = file};
        if (S_ISDIR(status.st_mode)) rule.allowed |= FS_READ_DIR;
        if (may_write) rule.allowed |= FS_WRITE_FILE;
        if (syscall(ADD_RULE, ruleset, 1, &rule, 0) < 0) error = errno;
    }
    close(file);
    return -error;
}

// MARK: Seccomp, seccomp(2)

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef ARCHITECTURE

/// System calls that reach other processes, the network, files without their paths, or the system itself. A driver
/// needs none of them.
static const int denied_calls[] = {
    // Other processes.
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_tkill, SYS_move_pages, SYS_migrate_pages,
    424 /* pidfd_send_signal */, 434 /* pidfd_open */, 438 /* pidfd_getfd */, 440 /* process_madvise */,
    448 /* process_mrelease */, SYS_setpriority, SYS_ioprio_set,
    // Ways out of the process group, by which the server finds everything that a driver has started.
    SYS_setsid, SYS_setpgid,
    // The network, and the server's control socket.
    SYS_socket, SYS_connect, SYS_bind, SYS_listen,
    // Ways around this filter, and IPC objects that other processes share.
    425 /* io_uring_setup */, 426 /* io_uring_enter */, 427 /* io_uring_register */,
    SYS_shmget, SYS_shmat, SYS_shmctl, SYS_msgget, SYS_msgsnd, SYS_msgrcv, SYS_msgctl, SYS_semget, SYS_semop, SYS_semctl,
    SYS_semtimedop, SYS_mq_open, SYS_mq_unlink,
    // Changes to files that Landlock does not check.
    SYS_fchmod, SYS_fchmodat, 452 /* fchmodat2 */, SYS_fchown, SYS_fchownat, SYS_setxattr, SYS_lsetxattr, SYS_fsetxattr,
    SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr, 463 /* setxattrat */, 466 /* removexattrat */, SYS_utimensat,
    SYS_name_to_handle_at, SYS_open_by_handle_at, 469 /* file_setattr */,
#ifdef __x86_64__
    SYS_chmod, SYS_chown, SYS_lchown, SYS_utime, SYS_utimes, SYS_futimesat, SYS_iopl, SYS_ioperm, SYS_modify_ldt,
#endif
    // Name spaces and mounts.
    SYS_unshare, SYS_setns, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, 428 /* open_tree */, 429 /* move_mount */,
    430 /* fsopen */, 431 /* fsconfig */, 432 /* fsmount */, 433 /* fspick */, 442 /* mount_setattr */,
    // The system.
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_add_key, SYS_request_key, SYS_keyctl, SYS_fanotify_init,
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_kexec_file_load, SYS_reboot, SYS_swapon,
    SYS_swapoff, SYS_acct, SYS_quotactl, 443 /* quotactl_fd */, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime,
    SYS_adjtimex, SYS_sethostname, SYS_setdomainname, SYS_syslog, SYS_vhangup,
};

/// Calls that are allowed for the process itself only.
static const int own_calls[] = {SYS_kill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo};

#define FILTER_LENGTH_MAX 512

struct filter {
    struct sock_filter code[FILTER_LENGTH_MAX];
    unsigned short length;
};

static void add(struct filter *filter, uint16_t code, uint32_t value, uint8_t if_true, uint8_t if_false) {
    filter->code[filter->length++] = (struct sock_filter){.code = code, .k = value, .jt = if_true, .jf = if_false};
}

static void answer(struct filter *filter, int error) {
    add(filter, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error, 0, 0);
}

static void allow(struct filter *filter) { add(filter, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0); }

static void load_number(struct filter *filter) {
    add(filter, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
}

/// The low half of an argument. These calls look at nothing else.
static void load_argument(struct filter *filter, int index) {
    add(filter, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * (unsigned)index, 0, 0);
}

/// `if (value == k) {` of `length` instructions `}`.
static void if_equal(struct filter *filter, uint32_t value, int length) {
    add(filter, BPF_JMP | BPF_JEQ | BPF_K, value, 0, (uint8_t)length);
}

/// Refuses a call unless an argument has one of two values.
static void require(struct filter *filter, int call, int index, uint32_t value, uint32_t other) {
    if_equal(filter, (uint32_t)call, 5);
    load_argument(filter, index);
    add(filter, BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
    if_equal(filter, other, 1);
    allow(filter);
    answer(filter, EPERM);
}

/// Refuses a call with an argument that has one of these values under a mask.
static void refuse(struct filter *filter, int call, int index, uint32_t mask, const uint32_t *values, int count) {
    if_equal(filter, (uint32_t)call, 3 + 2 * count);
    load_argument(filter, index);
    add(filter, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    for (int value = 0; value < count; value++) {
        if_equal(filter, values[value], 1);
        answer(filter, EPERM);
    }
    allow(filter);
}

static void fill(struct filter *filter, uint32_t process) {
    filter->length = 0;
    add(filter, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
    add(filter, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
    answer(filter, ENOSYS);
    load_number(filter);
#ifdef __x86_64__
    // x32 calls have numbers of their own.
    add(filter, BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1);
    answer(filter, ENOSYS);
#endif
    for (size_t call = 0; call < sizeof denied_calls / sizeof *denied_calls; call++) {
        if_equal(filter, (uint32_t)denied_calls[call], 1);
        answer(filter, EPERM);
    }
    // Its arguments lie in memory, which no filter can read. The C library falls back to clone.
    if_equal(filter, 435 /* clone3 */, 1);
    answer(filter, ENOSYS);
    for (size_t call = 0; call < sizeof own_calls / sizeof *own_calls; call++)
        require(filter, own_calls[call], 0, process, process);
    require(filter, SYS_prlimit64, 0, 0, process);
    const int scheduling[] = {SYS_sched_setaffinity, SYS_sched_setscheduler, SYS_sched_setparam, SYS_sched_setattr};
    for (size_t call = 0; call < sizeof scheduling / sizeof *scheduling; call++)
        require(filter, scheduling[call], 0, 0, process);
    // Signals by way of a descriptor, and faked terminal input.
    const uint32_t owners[] = {8 /* F_SETOWN */, 15 /* F_SETOWN_EX */};
    refuse(filter, SYS_fcntl, 1, UINT32_MAX, owners, 2);
    const uint32_t requests[] = {0x8901 /* FIOSETOWN */, 0x8902 /* SIOCSPGRP */, 0x5412 /* TIOCSTI */, 0x541C /* TIOCLINUX */};
    refuse(filter, SYS_ioctl, 1, UINT32_MAX, requests, 4);
    // A datagram socket of a pair could send to any other socket.
    const uint32_t datagram[] = {2};
    refuse(filter, SYS_socketpair, 1, 0xF, datagram, 1);
    // New name spaces: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
    if_equal(filter, SYS_clone, 4);
    load_argument(filter, 0);
    add(filter, BPF_JMP | BPF_JSET | BPF_K, 0x7E020000, 0, 1);
    answer(filter, EPERM);
    allow(filter);
    allow(filter);
}

static int restrict_calls(void) {
    struct filter filter;
    fill(&filter, (uint32_t)syscall(SYS_getpid));
    struct sock_fprog program = {.len = filter.length, .filter = filter.code};
    // Without this flag the filter turns speculation off, which would slow the driver down.
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 4 /* SECCOMP_FILTER_FLAG_SPEC_ALLOW */, &program) == 0) return 0;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? errno : 0;
}

#else

static int restrict_calls(void) { return ENOSYS; }

#endif

// MARK: The process

/// The largest file that a driver may write: as much as it may share with its card.
static const rlim_t file_size_max = 64 << 20;
static const rlim_t descriptor_count_max = 4096;

static void limit_resources(void) {
    struct rlimit core = {0, 0}, size = {file_size_max, file_size_max};
    struct rlimit descriptors = {descriptor_count_max, descriptor_count_max};
    setrlimit(RLIMIT_CORE, &core);
    setrlimit(RLIMIT_FSIZE, &size);
    setrlimit(RLIMIT_NOFILE, &descriptors);
}

/// Drops the capabilities of a process that runs as root. It keeps the right to read other users' files, but only where
/// Landlock limits that: the driver's program may lie in another user's directory.
static void drop_capabilities(int may_read) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}, {0}}, read[2] = {{0}, {0}};
    read[0].effective = read[0].permitted = 1u << CAP_DAC_READ_SEARCH;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (may_read && syscall(SYS_capset, &header, read) == 0) return;
    syscall(SYS_capset, &header, none);
}

/// Resets the signals that the server catches or ignores for its own purposes.
static void reset_signals(void) {
    for (int number = 1; number < 65; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) < 0 || action.sa_handler == SIG_DFL) continue;
        if (action.sa_handler == SIG_IGN && number != SIGPIPE && number != SIGXFSZ) continue;
        memset(&action, 0, sizeof action);
        action.sa_handler = SIG_DFL;
        sigaction(number, &action, NULL);
    }
}

/// Runs in the new process, which shares the server's memory until it runs its program, and may only make system calls.
/// The C library's functions for users and groups, for instance, would change all threads of the server.
static int confine(const struct nbdext_driver_start *start, int *is_filtered) {
    if (syscall(SYS_setpgid, 0, 0) < 0) return errno;
    reset_signals();
    for (int index = 0; index < start->descriptor_count; index++)
        if (dup2(start->descriptors[index], index) < 0) return errno;
    if (start->user >= 0) {
        if (syscall(SYS_setgroups, 0, NULL) < 0) return errno;
        if (syscall(SYS_setresgid, start->group, start->group, start->group) < 0) return errno;
        if (syscall(SYS_setresuid, start->user, start->user, start->user) < 0) return errno;
    }
    drop_capabilities(start->ruleset >= 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return errno;
    if (start->ruleset >= 0 && syscall(RESTRICT_SELF, start->ruleset, 0) < 0) return errno;
    // Before the filter, which needs none of these calls. close_range(2) is as old as Landlock.
    if (syscall(436 /* close_range */, start->descriptor_count, UINT32_MAX, 0) < 0) {
        struct rlimit limit = {0, 0};
        getrlimit(RLIMIT_NOFILE, &limit);
        for (int descriptor = start->descriptor_count; descriptor < (int)limit.rlim_cur; descriptor++) close(descriptor);
    }
    limit_resources();
    int error = restrict_calls();
    *is_filtered = error == 0;
    // Seccomp is missing, or this process itself runs under a filter that forbids it.
    return error == ENOSYS || error == EINVAL || error == EPERM ? 0 : error;
}

/// Sets the signal mask by system call. The C library's functions leave its own signals out, which must not reach the
/// new process either.
static void set_mask(uint64_t mask, uint64_t *old) { syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, old, sizeof mask); }

int nbdext_start_driver(const struct nbdext_driver_start *start, pid_t *process, int *is_filtered) {
    // The new process writes this, in the shared memory.
    volatile int error = 0;
    *is_filtered = 0;
    uint64_t mask;
    set_mask(UINT64_MAX, &mask);
    pid_t child = vfork();
    if (child == 0) {
        error = confine(start, is_filtered);
        if (error == 0) {
            set_mask(0, NULL);
            execve(start->path, start->arguments, start->environment);
            error = errno;
        }
        _exit(127);
    }
    int status = child < 0 ? errno : error;
    set_mask(mask, NULL);
    if (child >= 0 && status != 0) {
        int ended;
        while (waitpid(child, &ended, 0) < 0 && errno == EINTR) {}
    }
    *process = child;
    return status;
}

int nbdext_hide_process(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0; }
