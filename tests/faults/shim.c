/* Makes the Nth call that changes a file system fail, write short, or kill the process. See shim.py for its use.
 *
 * Preloaded into any program. Only calls on paths below a prefix count; a descriptor's path is asked of /proc. The
 * settings come from the environment (FAULT_*), or from fault_arm() in a process that was forked from a loaded one.
 * Record locks can be missing or lie (FAULT_LOCKS). Each counted call is noted as a line "name path" in a log, by raw system calls that are not counted themselves.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static char prefix[PATH_MAX], calls[512], logfile[PATH_MAX];
static long at, lasting, seen;
static int error_number, shorten, kill_before, kill_after;

/* mode: "fail", "last" (fail from the Nth on), "short", "before" or "after" (SIGKILL around the call), "count". */
void fault_arm(const char *where, const char *which, long n, const char *mode, int number, const char *log)
{
    snprintf(prefix, sizeof prefix, "%s", where);
    snprintf(calls, sizeof calls, ",%s,", which);
    snprintf(logfile, sizeof logfile, "%s", log);
    at = n;
    seen = 0;
    error_number = number;
    lasting = !strcmp(mode, "last");
    shorten = !strcmp(mode, "short");
    kill_before = !strcmp(mode, "before");
    kill_after = !strcmp(mode, "after");
    if (!strcmp(mode, "count"))
        at = 0;
}

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value ? value : otherwise;
}

__attribute__((constructor)) static void from_environment(void)
{
    if (getenv("FAULT_PREFIX"))
        fault_arm(getenv("FAULT_PREFIX"), setting("FAULT_CALLS", "all"), atol(setting("FAULT_AT", "0")),
                  setting("FAULT_MODE", "count"), atoi(setting("FAULT_ERRNO", "5")), setting("FAULT_LOG", ""));
}

static void note(const char *name, const char *path)
{
    char line[PATH_MAX + 64];
    int kept = errno, length = snprintf(line, sizeof line, "%s %s\n", name, path);
    int fd = syscall(SYS_openat, AT_FDCWD, logfile, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0) {
        syscall(SYS_write, fd, line, length);
        syscall(SYS_close, fd);
    }
    errno = kept;
}

/* What becomes of this call: 0 it goes on, 1 it fails with errno set, 2 it is short, 3 it goes on and kills. */
static int judge(const char *name, const char *path)
{
    char kind[40];
    if (!prefix[0] || strncmp(path, prefix, strlen(prefix)))
        return 0;
    snprintf(kind, sizeof kind, ",%s,", name);
    if (strcmp(calls, ",all,") && !strstr(calls, kind))
        return 0;
    if (logfile[0])
        note(name, path);
    long number = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
    if (!at || (lasting ? number < at : number != at))
        return 0;
    if (kill_before)
        kill(getpid(), SIGKILL);
    if (kill_after)
        return 3;
    if (shorten)
        return 2;
    errno = error_number;
    return 1;
}

static const char *of_descriptor(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length > 0 ? length : 0] = 0;
    return path;
}

static const char *full(int dir, const char *name, char *path)
{
    char base[PATH_MAX];
    if (name[0] == '/')
        return name;
    if (dir == AT_FDCWD) {
        if (!getcwd(base, sizeof base))
            return name;
    } else
        of_descriptor(dir, base);
    snprintf(path, PATH_MAX, "%.2000s/%.2000s", base, name);
    return path;
}

static long end(int verdict, long result)
{
    if (verdict == 3)
        kill(getpid(), SIGKILL);
    return result;
}

#define REAL(type, name, ...)                         \
    static type (*real)(__VA_ARGS__);                 \
    if (!real)                                        \
        real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* A call on a descriptor. */
#define ON_DESCRIPTOR(type, symbol, kind, fd, parameters, arguments, types) \
    type symbol parameters                                                  \
    {                                                                       \
        char path[PATH_MAX];                                                \
        static type(*real) types;                                           \
        if (!real)                                                          \
            real = (type(*) types)dlsym(RTLD_NEXT, #symbol);                \
        int verdict = prefix[0] ? judge(kind, of_descriptor(fd, path)) : 0; \
        return verdict == 1 ? -1 : end(verdict, real arguments);            \
    }

/* A call on a name. */
#define ON_NAME(symbol, kind, dir, name, parameters, arguments, types) \
    int symbol parameters                                              \
    {                                                                  \
        char path[PATH_MAX];                                           \
        static int(*real) types;                                       \
        if (!real)                                                     \
            real = (int(*) types)dlsym(RTLD_NEXT, #symbol);            \
        int verdict = prefix[0] ? judge(kind, full(dir, name, path)) : 0; \
        return verdict == 1 ? -1 : end(verdict, real arguments);       \
    }

ssize_t write(int fd, const void *data, size_t size)
{
    char path[PATH_MAX];
    REAL(ssize_t, "write", int, const void *, size_t);
    int verdict = prefix[0] ? judge("write", of_descriptor(fd, path)) : 0;
    if (verdict == 2 && size > 1)
        size /= 2;
    return verdict == 1 ? -1 : end(verdict, real(fd, data, size));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    char path[PATH_MAX];
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    int verdict = prefix[0] ? judge("write", of_descriptor(fd, path)) : 0;
    if (verdict == 2 && size > 1)
        size /= 2;
    return verdict == 1 ? -1 : end(verdict, real(fd, data, size, offset));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return pwrite(fd, data, size, offset);
}

ON_DESCRIPTOR(ssize_t, sendfile, "write", out, (int out, int in, off_t *offset, size_t size), (out, in, offset, size),
              (int, int, off_t *, size_t))
ON_DESCRIPTOR(ssize_t, sendfile64, "write", out, (int out, int in, off64_t *offset, size_t size),
              (out, in, offset, size), (int, int, off64_t *, size_t))
ON_DESCRIPTOR(int, fsync, "fsync", fd, (int fd), (fd), (int))
ON_DESCRIPTOR(int, fdatasync, "fsync", fd, (int fd), (fd), (int))
ON_DESCRIPTOR(int, ftruncate, "truncate", fd, (int fd, off_t size), (fd, size), (int, off_t))
ON_DESCRIPTOR(int, ftruncate64, "truncate", fd, (int fd, off64_t size), (fd, size), (int, off64_t))
ON_DESCRIPTOR(int, fchmod, "chmod", fd, (int fd, mode_t mode), (fd, mode), (int, mode_t))

ON_NAME(rename, "rename", AT_FDCWD, to, (const char *from, const char *to), (from, to), (const char *, const char *))
ON_NAME(renameat, "rename", todir, to, (int fromdir, const char *from, int todir, const char *to),
        (fromdir, from, todir, to), (int, const char *, int, const char *))
ON_NAME(link, "link", AT_FDCWD, to, (const char *from, const char *to), (from, to), (const char *, const char *))
ON_NAME(linkat, "link", todir, to, (int fromdir, const char *from, int todir, const char *to, int flags),
        (fromdir, from, todir, to, flags), (int, const char *, int, const char *, int))
ON_NAME(unlink, "unlink", AT_FDCWD, name, (const char *name), (name), (const char *))
ON_NAME(unlinkat, "unlink", dir, name, (int dir, const char *name, int flags), (dir, name, flags),
        (int, const char *, int))
ON_NAME(rmdir, "unlink", AT_FDCWD, name, (const char *name), (name), (const char *))
ON_NAME(mkdir, "mkdir", AT_FDCWD, name, (const char *name, mode_t mode), (name, mode), (const char *, mode_t))
ON_NAME(mkdirat, "mkdir", dir, name, (int dir, const char *name, mode_t mode), (dir, name, mode),
        (int, const char *, mode_t))

/* Opening counts when it is for writing. */
static int opened(int dir, const char *name, int flags)
{
    char path[PATH_MAX];
    if (!prefix[0] || !((flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC)))
        return 0;
    return judge("open", full(dir, name, path));
}

#define MODE_OF(flags)                            \
    mode_t mode = 0;                              \
    if ((flags) & (O_CREAT | O_TMPFILE)) {        \
        va_list rest;                             \
        va_start(rest, flags);                    \
        mode = va_arg(rest, mode_t);              \
        va_end(rest);                             \
    }

#define OPEN(symbol)                                                               \
    int symbol(const char *name, int flags, ...)                                   \
    {                                                                              \
        REAL(int, #symbol, const char *, int, ...);                                \
        MODE_OF(flags)                                                             \
        int verdict = opened(AT_FDCWD, name, flags);                               \
        return verdict == 1 ? -1 : end(verdict, real(name, flags, mode));          \
    }

#define OPENAT(symbol)                                                             \
    int symbol(int dir, const char *name, int flags, ...)                          \
    {                                                                              \
        REAL(int, #symbol, int, const char *, int, ...);                           \
        MODE_OF(flags)                                                             \
        int verdict = opened(dir, name, flags);                                    \
        return verdict == 1 ? -1 : end(verdict, real(dir, name, flags, mode));     \
    }

/* FAULT_LOCKS in the environment: "none", record locks fail with ENOLCK, or "lie", all succeed and lock nothing. */
static int lock_fault(int fd, int command, struct flock *lock, int *result)
{
    char path[PATH_MAX];
    const char *mode = getenv("FAULT_LOCKS");
    if (!mode || !prefix[0] || (command != F_SETLK && command != F_SETLKW && command != F_GETLK))
        return 0;
    if (strncmp(of_descriptor(fd, path), prefix, strlen(prefix)))
        return 0;
    *result = 0;
    if (!strcmp(mode, "none")) {
        errno = ENOLCK;
        *result = -1;
    } else if (command == F_GETLK)
        lock->l_type = F_UNLCK;
    return 1;
}

#define FCNTL(symbol)                                                   \
    int symbol(int fd, int command, ...)                                \
    {                                                                   \
        int result;                                                     \
        REAL(int, #symbol, int, int, ...);                              \
        va_list rest;                                                   \
        va_start(rest, command);                                        \
        void *argument = va_arg(rest, void *);                          \
        va_end(rest);                                                   \
        return lock_fault(fd, command, argument, &result) ? result : real(fd, command, argument); \
    }

FCNTL(fcntl)
FCNTL(fcntl64)

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
