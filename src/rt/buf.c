/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: data buffers from size-class caches of the reactor, and control-plane memory through the
 * test hook. In the simulator both hang on lists of the world, so that a power cut can free them.
 *
 * A cached buffer's first word links the free list. Under ASan nothing is cached, so that a use
 * after rt_buf_put is seen. */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "rt/rt_internal.h"

#define MIN_SHIFT  12
#define HUGE_BYTES (2u << 20)
#ifdef RT_ASAN
#define MAX_CACHED_BYTES 0
#else
#define MAX_CACHED_BYTES (32u << 20)
#endif
#define SIM_HEAD_BYTES 4096
#define GROW_BYTES     (64u << 10)

static bool hook_fails(const struct rt *rt)
{
    return rt && rt->alloc_fails && rt->alloc_fails(rt->alloc_arg);
}

/* Class of a size, or RT_BUF_CLASSES for those from the system. */
static unsigned class_of(size_t n_bytes)
{
    if (n_bytes <= (1u << MIN_SHIFT))
        return 0;
    unsigned shift = 64 - (unsigned)__builtin_clzll(n_bytes - 1);
    return ASH_MIN(shift - MIN_SHIFT, (unsigned)RT_BUF_CLASSES);
}

static size_t room_of(size_t n_bytes)
{
    unsigned c = class_of(n_bytes);
    return c < RT_BUF_CLASSES ? (size_t)1 << (c + MIN_SHIFT) : ash_align_up(n_bytes, 4096);
}

static void *sim_buf_get(struct rt *rt, size_t n_bytes)
{
    char *mem = aligned_alloc(4096, SIM_HEAD_BYTES + ash_align_up(n_bytes, 4096));
    if (!mem)
        return NULL;
    struct rt_mem *head = (struct rt_mem *)(void *)(mem + SIM_HEAD_BYTES - sizeof(*head));
    head->n_bytes = n_bytes;
    ash_list_push_tail(rt_sim_bufs(rt), &head->link);
    /* what was not written must not look like zeroes */
    memset(mem + SIM_HEAD_BYTES, 0xa7, ASH_MIN(n_bytes, (size_t)65536));
    return mem + SIM_HEAD_BYTES;
}

void rt_sim_buf_free(struct rt_mem *head)
{
    free((char *)(head + 1) - SIM_HEAD_BYTES);
}

static void sim_buf_put(void *buf, size_t n_bytes)
{
    struct rt_mem *head = (struct rt_mem *)(void *)((char *)buf - sizeof(*head));
    ASH_ASSERT(head->n_bytes == n_bytes);
    ash_list_remove(&head->link);
    rt_sim_buf_free(head);
}

void rt_want_huge(void *ptr, size_t n_bytes)
{
    uintptr_t from = ash_align_up((uintptr_t)ptr, HUGE_BYTES);
    uintptr_t to = ((uintptr_t)ptr + n_bytes) & ~(uintptr_t)(HUGE_BYTES - 1);
    if (to > from)
        (void)madvise((void *)from, to - from, MADV_HUGEPAGE); /* where there are none: as it is */
}

void *rt_buf_get(size_t n_bytes)
{
    struct rt_reactor *r = rt_tls_self;
    ASH_ASSERT(r != NULL && n_bytes > 0);
    if (n_bytes > SIZE_MAX / 2 || hook_fails(r->rt))
        return NULL;
    if (r->rt->sim)
        return sim_buf_get(r->rt, n_bytes);
    unsigned c = class_of(n_bytes);
    if (c < RT_BUF_CLASSES && r->bufs[c]) {
        void *buf = r->bufs[c];
        r->bufs[c] = *(void **)buf;
        r->cached_bytes -= room_of(n_bytes);
        return buf;
    }
    void *buf = aligned_alloc(4096, room_of(n_bytes));
    if (buf && c == RT_BUF_CLASSES)
        rt_want_huge(buf, n_bytes);
    return buf;
}

void rt_buf_put(void *buf, size_t n_bytes)
{
    if (!buf)
        return;
    struct rt_reactor *r = rt_tls_self;
    ASH_ASSERT(r != NULL && n_bytes > 0 && ((uintptr_t)buf & 4095) == 0);
    if (r->rt->sim) {
        sim_buf_put(buf, n_bytes);
        return;
    }
    unsigned c = class_of(n_bytes);
    size_t room = room_of(n_bytes);
    if (c == RT_BUF_CLASSES || r->cached_bytes + room > MAX_CACHED_BYTES) {
        free(buf);
        return;
    }
    *(void **)buf = r->bufs[c];
    r->bufs[c] = buf;
    r->cached_bytes += room;
    r->was_trimmed = false;
}

void rt_bufs_trim(struct rt_reactor *r)
{
    for (unsigned c = 0; c < RT_BUF_CLASSES; c++) {
        while (r->bufs[c]) {
            void *buf = r->bufs[c];
            r->bufs[c] = *(void **)buf;
            free(buf);
        }
    }
    if (r->cached_bytes > 0)
        malloc_trim(0);
    r->cached_bytes = 0;
}

/* ------------------------------------------------------------ control plane */

void rt_set_alloc_hook(struct rt *rt, bool (*should_fail)(void *arg), void *arg)
{
    rt->alloc_fails = should_fail;
    rt->alloc_arg = arg;
}

/* Every piece has a head, in all worlds, so that it may be freed from anywhere. */
void *rt_alloc(size_t n_bytes)
{
    struct rt *rt = rt_tls_self ? rt_tls_self->rt : NULL;
    if (n_bytes > SIZE_MAX / 2 || hook_fails(rt))
        return NULL;
    struct rt_mem *mem = calloc(1, sizeof(*mem) + n_bytes);
    if (!mem)
        return NULL;
    mem->n_bytes = n_bytes;
    ash_list_init(&mem->link);
    if (rt && rt->sim)
        ash_list_push_tail(rt_sim_mems(rt), &mem->link);
    return mem + 1;
}

void rt_free(void *ptr)
{
    if (!ptr)
        return;
    struct rt_mem *mem = (struct rt_mem *)ptr - 1;
    ash_list_remove(&mem->link);
    free(mem);
}

void *rt_realloc(void *old, size_t n_old_bytes, size_t n_new_bytes)
{
    void *ptr = rt_alloc(n_new_bytes);
    if (!ptr || !old)
        return ptr;
    ASH_ASSERT(((struct rt_mem *)old - 1)->n_bytes >= n_old_bytes);
    memcpy(ptr, old, ASH_MIN(n_old_bytes, n_new_bytes));
    rt_free(old);
    return ptr;
}

/* The containers of base (base/mem.h). */
void *ash_mem_grow(void *old, size_t n_old_bytes, size_t n_new_bytes)
{
    const struct rt *rt = rt_tls_self ? rt_tls_self->rt : NULL;
    struct rt_mem *mem = old ? (struct rt_mem *)old - 1 : NULL;
    /* on a simulator's list, or too small to matter */
    if (!mem || n_new_bytes < GROW_BYTES || (rt && rt->sim) || !ash_list_empty(&mem->link))
        return rt_realloc(old, n_old_bytes, n_new_bytes);
    if (n_new_bytes > SIZE_MAX / 2 || hook_fails(rt))
        return NULL;
    struct rt_mem *grown = realloc(mem, sizeof(*mem) + n_new_bytes);
    if (!grown)
        return NULL;
    grown->n_bytes = n_new_bytes;
    ash_list_init(&grown->link); /* it pointed at itself */
    return grown + 1;
}

void *ash_mem_alloc(size_t n_bytes)
{
    return rt_alloc(n_bytes);
}

void *ash_mem_realloc(void *old, size_t n_old_bytes, size_t n_new_bytes)
{
    return rt_realloc(old, n_old_bytes, n_new_bytes);
}

void ash_mem_free(void *ptr)
{
    rt_free(ptr);
}

char *rt_strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = rt_alloc(n);
    return copy ? memcpy(copy, text, n) : NULL;
}
