/* SPDX-License-Identifier: Apache-2.0 */
/* Messages for people: formatted here, written by whoever runs the world. */
#include <stdarg.h>
#include <stdio.h>

#include "rt/rt_internal.h"

void rt_set_log(struct rt *rt,
                void (*sink)(void *arg, enum rt_log_level level, const char *module,
                             const char *text),
                void *arg)
{
    rt->log_sink = sink;
    rt->log_arg = arg;
}

void rt_set_log_level(struct rt *rt, enum rt_log_level max_level)
{
    rt->log_level = (int)max_level;
}

void rt_log(enum rt_log_level level, const char *module, const char *fmt, ...)
{
    struct rt_reactor *self = rt_self();
    if (!self || rt_reactor_idx(self) != 0)
        return;
    struct rt *rt = rt_of(self);
    if (!rt->log_sink || (int)level > (rt->log_level ? rt->log_level : (int)RT_LOG_INFO))
        return;
    char text[768];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    rt->log_sink(rt->log_arg, level, module, text);
}
