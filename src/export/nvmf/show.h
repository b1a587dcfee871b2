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
void nvmf_show_referrals(const struct nvmf_server *srv, struct ash_jsonw *w);

/* An address of the RPCs. */
struct nvmf_address_params {
    char *trtype, *traddr, *adrfam, *trsvcid;
};
/* ret_address points into ret_params, which nvmf_address_free frees, also after a failure. */
int nvmf_address_decode(struct json_object *json, struct nvmf_address_params *ret_params,
                        struct nvmf_address *ret_address, struct ash_err *err);
void nvmf_address_free(struct nvmf_address_params *params);

#endif
