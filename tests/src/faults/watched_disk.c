/* Stands between a program and the C library's file calls (LD_PRELOAD): records what is done to the files below one folder,
 * and makes chosen calls fail, come short, or be the program's last.
 *
 * FAULT_ROOT   folder that is watched, an absolute path
 * FAULT_TRACE  file to which each completed call is appended; see watched_disk.rs for the records
 * FAULT_PLAN   NAME:WHAT:FROM:TO[,...]: the calls of this name from the FROM-th to the TO-th, counted from 1, fail with
 *              the error number WHAT, or with WHAT = s write half of what was asked, or with WHAT = k are carried out and
 *              the process is killed; NAME is open, read, write, fsync, fdatasync, rename, unlink, mkdir, ftruncate or any,
 *              which are all of them but read
 *
 * A record is one writev to a file that is open for appending, so records are whole and in one order. A change is recorded
 * after it was made; a sync at its beginning and at its end, because it is a promise only about what was complete before
 * it began; an answer on a socket before it is sent, because from then on it may be known outside.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN, WRITE, FSYNC, FDATASYNC, RENAME, UNLINK, MKDIR, FTRUNCATE, READ, ANY, NAMES };
static const char *const names[NAMES] = {"open",   "write", "fsync",     "fdatasync", "rename",
                                         "unlink", "mkdir", "ftruncate", "read", "any"};
enum { FAIL = 1, SHORT = 2, KILL = 4 };
struct rule { int name, action, number; long from, to; };

#define MOST_FDS 65536
static atomic_char watched[MOST_FDS];
static atomic_long counts[NAMES];
static struct rule rules[16];
static int rule_count, trace = -1;
static char root[4096];
static size_t root_length;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void prepare(void) {
    const char *text = getenv("FAULT_ROOT");
    if (text) { root_length = (size_t)snprintf(root, sizeof root, "%s", text); }
    text = getenv("FAULT_TRACE");
    if (text) { trace = (int)syscall(SYS_openat, AT_FDCWD, text, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600); }
    text = getenv("FAULT_PLAN");
    while (text && *text && rule_count < 16) {
        char name[16], what[16];
        struct rule rule = {0};
        if (sscanf(text, "%15[a-z]:%15[^:]:%ld:%ld", name, what, &rule.from, &rule.to) != 4) { abort(); }
        while (rule.name < NAMES && strcmp(names[rule.name], name) != 0) { rule.name++; }
        if (rule.name == NAMES) { abort(); }
        rule.action = *what == 's' ? SHORT : *what == 'k' ? KILL : FAIL;
        rule.number = atoi(what);
        rules[rule_count++] = rule;
        text = strchr(text, ',');
        if (text) { text++; }
    }
}

static int below_root(const char *path) {
    return root_length && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || !path[root_length]);
}
static int is_watched(int fd) { return fd >= 0 && fd < MOST_FDS && watched[fd]; }

struct __attribute__((packed)) head {
    char kind;
    uint32_t thread;
    uint64_t inode, offset;
    uint32_t first, second;
};
static void record(char kind, uint64_t inode, uint64_t offset, const void *first, size_t first_length,
                   const void *second, size_t second_length) {
    if (trace < 0) { return; }
    int saved = errno;
    struct head head = {kind, (uint32_t)syscall(SYS_gettid), inode, offset, (uint32_t)first_length,
                        (uint32_t)second_length};
    struct iovec pieces[3] = {{&head, sizeof head}, {(void *)first, first_length}, {(void *)second, second_length}};
    long written = syscall(SYS_writev, trace, pieces, 3);
    if (written != (long)(sizeof head + first_length + second_length)) { abort(); }
    errno = saved;
}
/* What is to happen to this call; sets errno if it fails. */
static int planned(int name) {
    int action = 0;
    long own = ++counts[name], any = name == READ ? 0 : ++counts[ANY];
    for (int i = 0; i < rule_count; i++) {
        long count = rules[i].name == ANY ? any : rules[i].name == name ? own : 0;
        if (count >= rules[i].from && count <= rules[i].to) {
            action |= rules[i].action;
            record('f', 0, 0, names[name], strlen(names[name]), NULL, 0);
            if (rules[i].action == FAIL) { errno = rules[i].number; }
        }
    }
    return action;
}
static void finish(int action) {
    if (action & KILL) { syscall(SYS_kill, getpid(), SIGKILL); }
}

static uint64_t inode_of(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}
static void record_named(char kind, uint64_t inode, const char *from, const char *to) {
    record(kind, inode, 0, from, strlen(from), to, to ? strlen(to) : 0);
}

static int open_watched(int directory, const char *path, int flags, mode_t mode) {
    int action = 0, creates = 0;
    int watch = path[0] == '/' && below_root(path);
    if (watch && (flags & O_CREAT)) {
        struct stat status;
        creates = lstat(path, &status) != 0;
        action = planned(OPEN);
        if (action & FAIL) { return -1; }
    }
    int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
    if (fd >= 0 && fd < MOST_FDS) {
        watched[fd] = (char)watch;
        if (creates) { record_named('c', inode_of(fd), path, NULL); }
        if (watch && !creates && (flags & O_TRUNC)) { record('t', inode_of(fd), 0, NULL, 0, NULL, 0); }
    }
    finish(action);
    return fd;
}
#define MODE(last) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, last); mode = va_arg(more, mode_t); va_end(more); }
int open(const char *path, int flags, ...) { MODE(flags) return open_watched(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_watched(AT_FDCWD, path, flags, mode); }
int openat(int directory, const char *path, int flags, ...) { MODE(flags) return open_watched(directory, path, flags, mode); }
int openat64(int directory, const char *path, int flags, ...) { MODE(flags) return open_watched(directory, path, flags, mode); }
int close(int fd) {
    if (fd >= 0 && fd < MOST_FDS) { watched[fd] = 0; }
    return (int)syscall(SYS_close, fd);
}

ssize_t read(int fd, void *bytes, size_t length) {
    if (is_watched(fd) && planned(READ) & FAIL) { return -1; }
    return syscall(SYS_read, fd, bytes, length);
}

static ssize_t write_watched(int fd, const void *bytes, size_t length, off_t offset, int positioned) {
    int action = planned(WRITE);
    if (action & FAIL) { return -1; }
    if (action & SHORT && length > 1) { length /= 2; }
    off_t at = positioned ? offset : lseek(fd, 0, SEEK_CUR);
    if (!positioned && (fcntl(fd, F_GETFL) & O_APPEND)) { at = lseek(fd, 0, SEEK_END); }
    ssize_t written = positioned ? syscall(SYS_pwrite64, fd, bytes, length, offset) : syscall(SYS_write, fd, bytes, length);
    if (written > 0) { record('w', inode_of(fd), (uint64_t)at, bytes, (size_t)written, NULL, 0); }
    finish(action);
    return written;
}
static void note_answer(const void *bytes, size_t length) {
    if (length > 8 && memcmp(bytes, "HTTP/1.1", 8) == 0) { record('a', 0, 0, bytes, length < 1024 ? length : 1024, NULL, 0); }
}
ssize_t write(int fd, const void *bytes, size_t length) {
    return is_watched(fd) ? write_watched(fd, bytes, length, 0, 0) : syscall(SYS_write, fd, bytes, length);
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return is_watched(fd) ? write_watched(fd, bytes, length, offset, 1) : syscall(SYS_pwrite64, fd, bytes, length, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { return pwrite(fd, bytes, length, offset); }
ssize_t writev(int fd, const struct iovec *pieces, int count) {
    if (count > 0 && is_watched(fd)) { return write_watched(fd, pieces[0].iov_base, pieces[0].iov_len, 0, 0); }
    if (count > 0) { note_answer(pieces[0].iov_base, pieces[0].iov_len); }
    return syscall(SYS_writev, fd, pieces, count);
}
ssize_t send(int fd, const void *bytes, size_t length, int flags) {
    note_answer(bytes, length);
    return syscall(SYS_sendto, fd, bytes, length, flags, NULL, 0);
}

static int sync_watched(int fd, int name, long number) {
    if (!is_watched(fd)) { return (int)syscall(number, fd); }
    int action = planned(name);
    if (action & FAIL) { return -1; }
    uint64_t inode = inode_of(fd);
    record('b', inode, 0, NULL, 0, NULL, 0);
    int result = (int)syscall(number, fd);
    if (result == 0) { record('e', inode, 0, NULL, 0, NULL, 0); }
    finish(action);
    return result;
}
int fsync(int fd) { return sync_watched(fd, FSYNC, SYS_fsync); }
int fdatasync(int fd) { return sync_watched(fd, FDATASYNC, SYS_fdatasync); }

int ftruncate(int fd, off_t length) {
    if (!is_watched(fd)) { return (int)syscall(SYS_ftruncate, fd, length); }
    int action = planned(FTRUNCATE);
    if (action & FAIL) { return -1; }
    int result = (int)syscall(SYS_ftruncate, fd, length);
    if (result == 0) { record('t', inode_of(fd), (uint64_t)length, NULL, 0, NULL, 0); }
    finish(action);
    return result;
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

#define NAMED(call, name, kind, inode, from, to) \
    int action = planned(name); \
    if (action & FAIL) { return -1; } \
    int result = (int)(call); \
    if (result == 0) { record_named(kind, inode, from, to); } \
    finish(action); \
    return result;
static uint64_t inode_at(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0 ? status.st_ino : 0;
}
int rename(const char *from, const char *to) {
    if (!below_root(from)) { return REAL(rename)(from, to); }
    NAMED(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0), RENAME, 'r', inode_at(to), from, to)
}
int unlink(const char *path) {
    if (!below_root(path)) { return REAL(unlink)(path); }
    NAMED(syscall(SYS_unlinkat, AT_FDCWD, path, 0), UNLINK, 'u', 0, path, NULL)
}
int mkdir(const char *path, mode_t mode) {
    if (!below_root(path)) { return REAL(mkdir)(path, mode); }
    NAMED(syscall(SYS_mkdirat, AT_FDCWD, path, mode), MKDIR, 'm', inode_at(path), path, NULL)
}
