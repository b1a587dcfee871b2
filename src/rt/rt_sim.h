/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's own controls, for tests and the crash explorer.
 *
 * A simulated world (RT_BACKEND_SIM) runs all its reactors on the calling thread. Its clock jumps
 * to the next timer or completion when nothing is ready; rt_run returns -EDEADLK when there is
 * none. Which reactor goes next, how long each I/O takes, how many bytes a receive gives: all from
 * the seed, so a seed repeats a run exactly. rt_destroy frees everything the world still holds:
 * task stacks, memory from rt_alloc and rt_buf_get, sockets, open files. That is a power cut; call
 * it outside rt_run (rt_stop from a hook gets there).
 *
 * Disks are objects of their own and outlive worlds. Their images share pages copy-on-write, so a
 * clone costs a table of one pointer per 2 MiB. A disk is used by one thread at a time; images that
 * share pages may live on different threads. */
#ifndef ASH_RT_SIM_H
#define ASH_RT_SIM_H

#include "rt/rt.h"

/* ------------------------------------------------------------------ images */

#define RT_SIM_PAGE_BYTES 4096u

struct rt_sim_image;

struct rt_sim_image *rt_sim_image_new(uint64_t size_bytes); /* all zeroes; NULL: no memory */
struct rt_sim_image *rt_sim_image_clone(const struct rt_sim_image *image);
void rt_sim_image_free(struct rt_sim_image *image); /* NULL is fine */
uint64_t rt_sim_image_size(const struct rt_sim_image *image);
int rt_sim_image_resize(struct rt_sim_image *image, uint64_t size_bytes); /* 0, -ENOMEM */
/* Within the size. 0 or -ENOMEM. */
int rt_sim_image_write(struct rt_sim_image *image, uint64_t offset, const void *data,
                       uint64_t n_bytes);
int rt_sim_image_zero(struct rt_sim_image *image, uint64_t offset, uint64_t n_bytes);
void rt_sim_image_read(const struct rt_sim_image *image, uint64_t offset, void *buf,
                       uint64_t n_bytes);
/* First byte at or after offset that is in a page written to (want) or in one that is not;
 * the size when there is none. */
uint64_t rt_sim_image_seek(const struct rt_sim_image *image, bool want_data, uint64_t offset);
/* Offset of the first byte that differs, or UINT64_MAX; sizes must be equal. */
uint64_t rt_sim_image_differs(const struct rt_sim_image *a, const struct rt_sim_image *b);

/* -------------------------------------------------------------------- disks */

struct rt_sim_disk;

/* A disk of zeroes; behaves like a regular file (grows by writes behind its end) until made a
 * device. NULL: no memory. */
struct rt_sim_disk *rt_sim_disk_new(uint64_t size_bytes, uint32_t logical_block_bytes);
void rt_sim_disk_put(struct rt_sim_disk *disk); /* the owner's reference; worlds hold their own */
/* A device: fixed size, -ENOSPC behind its end. */
void rt_sim_disk_set_device(struct rt_sim_disk *disk, bool is_device);
void rt_sim_disk_set_features(struct rt_sim_disk *disk, bool can_punch, bool can_zero);
/* What a device's blocks show after an unmap; a file's always show zeroes. */
enum rt_sim_trim { RT_SIM_TRIM_ZEROES, RT_SIM_TRIM_KEEPS, RT_SIM_TRIM_GARBAGE };
void rt_sim_disk_set_trim(struct rt_sim_disk *disk, enum rt_sim_trim trim);
/* The next opening finds blocks of this size. */
void rt_sim_disk_set_block(struct rt_sim_disk *disk, uint32_t logical_block_bytes);
void rt_sim_disk_resize(struct rt_sim_disk *disk, uint64_t size_bytes);
uint64_t rt_sim_disk_size(const struct rt_sim_disk *disk);
/* The image itself, without time, errors or log. */
void rt_sim_disk_peek(const struct rt_sim_disk *disk, uint64_t offset, void *buf, uint64_t n_bytes);
int rt_sim_disk_poke(struct rt_sim_disk *disk, uint64_t offset, const void *data, uint64_t n_bytes);
const struct rt_sim_image *rt_sim_disk_image(const struct rt_sim_disk *disk); /* borrowed */
/* Replace the image; the disk takes it over. Nothing may be in flight. */
void rt_sim_disk_give_image(struct rt_sim_disk *disk, struct rt_sim_image *image);

/* Put a disk into a world under a path. -EEXIST, -ENOMEM. */
int rt_sim_attach(struct rt *rt, const char *path, struct rt_sim_disk *disk);
/* Take it out: opens fail from now on; open files keep working. -ENOENT. */
int rt_sim_detach(struct rt *rt, const char *path);
/* New disk, attached, owned by the world alone. NULL: no memory or the path is taken. */
struct rt_sim_disk *rt_sim_disk_create(struct rt *rt, const char *path, uint64_t size_bytes,
                                       uint32_t logical_block_bytes);
struct rt_sim_disk *rt_sim_disk_find(struct rt *rt, const char *path); /* borrowed; NULL */

/* ---------------------------------------------------------------- write log */

/* What happened on the disks that the log is set on, in the order of completion. */
struct rt_sim_log_entry {
    uint8_t kind; /* RT_OP_WRITE, RT_OP_PUNCH, RT_OP_ZERO, RT_OP_FSYNC */
    bool is_fua;
    uint8_t trim;                   /* PUNCH: enum rt_sim_trim */
    const struct rt_sim_disk *disk; /* identity only; may be gone */
    uint64_t offset, length;
    void *data;                     /* WRITE: a copy of the bytes */
    uint64_t submit_seq;            /* order of submission in the world */
    size_t n_before_submit;         /* entries in the log when it was submitted */
    size_t n_durable_before_submit; /* rt_sim_log_n_durable() then, of its disk */
};

struct rt_sim_log {
    struct rt_sim_log_entry *entries;
    size_t n_entries, n_room;
    bool failed; /* memory ran out: the log is not complete */
};

/* Zero-initialise. */
void rt_sim_log_free(struct rt_sim_log *log);
/* From now on (NULL: no longer). The log must outlive that; several disks may share one. */
void rt_sim_disk_set_log(struct rt_sim_disk *disk, struct rt_sim_log *log);
/* The power fails after n entries have completed. All changes of the disk with an index below the
 * result are on the medium for certain, because an FSYNC submitted after them has completed. */
size_t rt_sim_log_n_durable(const struct rt_sim_log *log, const struct rt_sim_disk *disk, size_t n);
/* Must entry i be on the medium then / can it be (also when it was only under way)? */
bool rt_sim_log_is_durable(const struct rt_sim_log *log, size_t n, size_t i);
bool rt_sim_log_is_possible(const struct rt_sim_log *log, size_t n, size_t i);
/* Do entry i's change to an image. 0 or -ENOMEM. */
int rt_sim_log_apply(const struct rt_sim_log *log, size_t i, struct rt_sim_image *image);

/* ------------------------------------------------------------------- worlds */

#define RT_SIM_HANG 1

struct rt_sim_hooks {
    /* Asked when a file op is about to take effect (RT_OP_READ .. RT_OP_ZERO). 0: go on; -errno:
     * the op fails with it and changes nothing. RT_SIM_HANG: not now; it is asked again after
     * another second. May call rt_stop. NULL: nothing fails. */
    int (*fail)(void *arg, const struct rt_op *op, struct rt_sim_disk *disk);
    void *arg;
    /* Asked at each SIM_RARELY mark of the engine. NULL: rare things stay rare. */
    bool (*rarely)(void *arg, const char *tag);
    /* Range of an I/O's duration; both 0: 10 us .. 200 us. */
    uint64_t latency_min_ns, latency_max_ns;
};

void rt_sim_set_hooks(struct rt *rt, const struct rt_sim_hooks *hooks);
/* As rt_destroy of a simulated world: what was running is gone. */
void rt_sim_discard(struct rt *rt);
/* Pieces of memory (open files and sockets among them), buffers and tasks that the world holds. */
size_t rt_sim_n_live(struct rt *rt);
/* Deliver a signal to the world's watchers; call from its control reactor. */
void rt_sim_raise(struct rt *rt, int signo);

#endif
