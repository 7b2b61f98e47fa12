/* A disk that fails, put before libc for the process under test: EIO from fsync, ENOSPC beyond a size, and a second
   folder that holds what the disk itself would after a loss of power.

   DISK_FOLDER  folder that lies on the disk
   DISK_PLATTER folder that holds of its *.db and *.db-wal only what an fsync wrote. What was dirty when an fsync
                failed is never written, as on Linux, where the pages are clean afterwards
   DISK_FAULT   file; "1 SUFFIX" fails the next fsync of a file so named, "* SUFFIX" each, "s BYTES" is the disk's size */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct range { off_t at; size_t size; };
struct file { char name[200]; struct range *dirty; size_t count, room; };
static struct file files[64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_truncate)(int, off_t), (*real_sync)(int), (*real_statvfs)(const char *, struct statvfs *),
    (*real_allocate)(int, off_t, off_t);

__attribute__((constructor)) static void begin(void) {
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_truncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_sync = dlsym(RTLD_NEXT, "fsync");
    real_statvfs = dlsym(RTLD_NEXT, "statvfs64");
    real_allocate = dlsym(RTLD_NEXT, "posix_fallocate64");
}

static int fault(char *kind, char *rest) {
    char text[300] = {0};
    int from = open(getenv("DISK_FAULT"), O_RDONLY);
    if (from < 0) return 0;
    ssize_t size = read(from, text, sizeof text - 1);
    close(from);
    return size > 0 && sscanf(text, "%c %250s", kind, rest) == 2;
}

/* Name of a file that lies on the disk, without the folder. */
static const char *on_disk(int descriptor, char *path, size_t room) {
    char link[64];
    const char *folder = getenv("DISK_FOLDER");
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, room - 1);
    if (size < 0) return NULL;
    path[size] = 0;
    size_t length = strlen(folder);
    return strncmp(path, folder, length) || path[length] != '/' ? NULL : path + length + 1;
}

static int ends(const char *name, const char *suffix) {
    size_t n = strlen(name), s = strlen(suffix);
    return n >= s && !strcmp(name + n - s, suffix);
}

static struct file *tracked(const char *name) {
    if (!ends(name, ".db") && !ends(name, ".db-wal")) return NULL;
    for (int i = 0; i < 64; i++) {
        if (!files[i].name[0]) snprintf(files[i].name, sizeof files[i].name, "%s", name);
        if (!strcmp(files[i].name, name)) return &files[i];
    }
    abort();
}

static int platter(const char *name) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", getenv("DISK_PLATTER"), name);
    return open(path, O_RDWR | O_CREAT, 0600);
}

static long long used(void) {
    long long sum = 0;
    struct stat info;
    DIR *folder = opendir(getenv("DISK_FOLDER"));
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (!fstatat(dirfd(folder), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) && S_ISREG(info.st_mode))
            if (!ends(entry->d_name, "-shm")) sum += info.st_size;
    if (folder) closedir(folder);
    return sum;
}

static long long left(void) {
    char kind, rest[256];
    return fault(&kind, rest) && kind == 's' ? atoll(rest) - used() : 1LL << 50;
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t size, off_t at) {
    char path[600];
    struct stat info;
    const char *name = on_disk(descriptor, path, sizeof path);
    if (name && !fstat(descriptor, &info) && at + (off_t)size > info.st_size && left() < at + (off_t)size - info.st_size) {
        errno = ENOSPC;
        return -1;
    }
    ssize_t written = real_pwrite(descriptor, bytes, size, at);
    pthread_mutex_lock(&lock);
    struct file *file = name ? tracked(name) : NULL;
    if (file && written > 0) {
        if (file->count == file->room) {
            file->room = file->room ? 2 * file->room : 256;
            file->dirty = realloc(file->dirty, file->room * sizeof *file->dirty);
        }
        file->dirty[file->count++] = (struct range){at, written};
    }
    pthread_mutex_unlock(&lock);
    return written;
}
ssize_t pwrite(int d, const void *b, size_t s, off_t a) { return pwrite64(d, b, s, a); }

int ftruncate64(int descriptor, off_t size) {
    char path[600];
    const char *name = on_disk(descriptor, path, sizeof path);
    if (name && tracked(name)) {
        int to = platter(name);
        if (to < 0 || real_truncate(to, size)) abort();
        close(to);
    }
    return real_truncate(descriptor, size);
}
int ftruncate(int d, off_t s) { return ftruncate64(d, s); }

int fsync(int descriptor) {
    char path[600], kind, rest[256];
    const char *name = on_disk(descriptor, path, sizeof path);
    struct file *file = name ? tracked(name) : NULL;
    if (!file) return real_sync(descriptor);
    int failing = fault(&kind, rest) && kind != 's' && ends(name, rest);
    if (failing && kind == '1') unlink(getenv("DISK_FAULT"));
    pthread_mutex_lock(&lock);
    int to = platter(name);
    for (size_t i = 0; !failing && i < file->count; i++) {
        char *bytes = malloc(file->dirty[i].size);
        ssize_t size = pread(descriptor, bytes, file->dirty[i].size, file->dirty[i].at);
        if (size > 0 && real_pwrite(to, bytes, size, file->dirty[i].at) != size) abort();
        free(bytes);
    }
    file->count = 0;
    close(to);
    pthread_mutex_unlock(&lock);
    if (failing) errno = EIO;
    return failing ? -1 : 0;
}
int fdatasync(int d) { return fsync(d); }

int posix_fallocate64(int descriptor, off_t at, off_t size) {
    char path[600];
    if (on_disk(descriptor, path, sizeof path) && left() < size) return ENOSPC;
    return real_allocate(descriptor, at, size);
}
int posix_fallocate(int d, off_t a, off_t s) { return posix_fallocate64(d, a, s); }

int statvfs64(const char *path, struct statvfs64 *info) {
    int result = real_statvfs(path, (struct statvfs *)info);
    long long bytes = left();
    if (!result && bytes < 1LL << 50) info->f_bavail = bytes > 0 ? bytes / info->f_frsize : 0;
    return result;
}
int statvfs(const char *p, struct statvfs *i) { return statvfs64(p, (struct statvfs64 *)i); }
