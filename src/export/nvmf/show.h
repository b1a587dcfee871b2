/* SPDX-License-Identifier: Apache-2.0 */
/* The target as JSON, one value each. */
#ifndef ASH_EXPORT_NVMF_SHOW_H
#define ASH_EXPORT_NVMF_SHOW_H

#include "export/nvmf/nvmf_int.h"

void nvmf_show_transport(const struct nvmf_server *srv, struct ash_jsonw *w);
void nvmf_show_subsystem(const struct nvmf_subsystem *sub, struct ash_jsonw *w);
void nvmf_show_listeners(const struct nvmf_subsystem *sub, struct ash_jsonw *w);
void nvmf_show_controllers(const struct nvmf_subsystem *sub, struct ash_jsonw *w);
void nvmf_show_qpairs(const struct nvmf_subsystem *sub, struct ash_jsonw *w);
void nvmf_show_stats(const struct nvmf_server *srv, struct ash_jsonw *w);
void nvmf_show_shares(const struct nvmf_server *srv, struct ash_jsonw *w);

#endif
