/* SPDX-License-Identifier: Apache-2.0 */
/* DH-HMAC-CHAP between our initiator and our target: who gets in with which keys, on every queue
 * and at every connection; keys that cannot be used. The computation itself: base/test_nvme_chap.c.
 */
#include "fake.h"

#define ME "nqn.2016-06.io.ashlar:me"

/* Three secrets, of different owners and hashes. */
static const char *const secrets[] = {
    "DHHC-1:00:AQgPFh0kKzI5QEdOVVxjanF4f4aNlJuiqbC3vsXM09pl1OOC:\n",
    "DHHC-1:01:AgkQFx4lLDM6QUhPVl1ka3J5gIeOlZyjqrG4v8bN1Nuz7TWq:",
    "DHHC-1:02:AwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dzj6vH4/wYNFBsiKTA3PkVMRdxyRQ==:",
    "DHHC-1:00:nonsense:",
};

static void put_key(struct nvme_world *w, unsigned i)
{
    char path[16], params[128], text[512] = "";
    snprintf(path, sizeof(path), "/key%u", i);
    snprintf(text, sizeof(text), "%s", secrets[i]);
    struct rt_sim_disk *disk = rt_sim_disk_new(sizeof(text), 512);
    CHECK(rt_sim_disk_poke(disk, 0, text, sizeof(text)) == 0);
    CHECK(rt_sim_attach(rt_world(), path, disk) == 0);
    rt_sim_disk_put(disk);
    snprintf(params, sizeof(params), "{\"name\":\"k%u\",\"path\":\"%s\"}", i, path);
    rpc_ok(w, "keyring_file_add_key", params);
}

static void keys_text(char *buf, size_t n, int key, int ctrlr_key)
{
    char *end = buf + n;
    *buf = '\0';
    if (key >= 0)
        buf += snprintf(buf, n, ",\"dhchap_key\":\"k%d\"", key);
    if (ctrlr_key >= 0)
        snprintf(buf, (size_t)(end - buf), ",\"dhchap_ctrlr_key\":\"k%d\"", ctrlr_key);
}

static void target_keys(struct nvme_world *w, int key, int ctrlr_key)
{
    char keys[128], params[512];
    keys_text(keys, sizeof(keys), key, ctrlr_key);
    snprintf(params, sizeof(params), "{\"nqn\":\"" NQN "\",\"host\":\"" ME "\"%s}", keys);
    rpc_ok(w, "nvmf_subsystem_set_keys", params);
}

static int attach_with(struct nvme_world *w, int key, int ctrlr_key, const char *reason)
{
    char keys[128], params[512];
    keys_text(keys, sizeof(keys), key, ctrlr_key);
    snprintf(params, sizeof(params),
             "{\"name\":\"n\",\"trtype\":\"TCP\",\"traddr\":\"127.0.0.2\",\"subnqn\":\"" NQN
             "\",\"hostnqn\":\"" ME "\",\"ctrlr_loss_timeout_sec\":-1,\"reconnect_delay_sec\":1%s}",
             keys);
    return rpc_fails(w, "bdev_nvme_attach_controller", params, reason);
}

struct row {
    int target, target_ctrlr, host, host_ctrlr; /* keys; -1: none */
    const char *reason;                         /* NULL: it is let in */
};

static const struct row rows[] = {
    {-1, -1, -1, -1, NULL},     {0, -1, 0, -1, NULL},         {1, -1, 1, -1, NULL},
    {2, -1, 2, -1, NULL},       {0, 1, 0, 1, NULL},           {2, 2, 2, 2, NULL},
    {0, 1, 0, -1, NULL}, /* the host does not ask who the controller is */
    {-1, -1, 0, -1, NULL},      {0, -1, -1, -1, "NVME_AUTH"}, {0, -1, 1, -1, "NVME_AUTH"},
    {0, 1, 2, 1, "NVME_AUTH"},  {0, 1, 0, 2, "NVME_AUTH"}, /* a controller that only says who it is
                                                            */
    {0, -1, 0, 1, "NVME_AUTH"}, {-1, -1, 0, 1, "NVME_AUTH"},  {0, 0, 0, 3, "NVME_KEY"},
};

static void use(struct nvme_world *w, unsigned mark)
{
    struct disk d;
    uint8_t buf[BLOCK];
    disk_open(w, "nn1", &d);
    memset(buf, (int)mark, sizeof(buf));
    CHECK(bdev_write(d.ch, buf, 0, BLOCK, 0) == 0);
    wire_cut_all(&w->wire); /* every connection proves itself anew */
    memset(buf, 0, sizeof(buf));
    CHECK(bdev_read(d.ch, buf, 0, BLOCK) == 0 && buf[9] == mark);
    disk_close(&d);
}

static void world_of_keys(struct nvme_world *w)
{
    world_up(w);
    for (unsigned i = 0; i < ASH_N_ELEMS(secrets); i++)
        put_key(w, i);
    rpc_ok(w, "nvmf_subsystem_allow_any_host", "{\"nqn\":\"" NQN "\",\"allow_any_host\":false}");
    rpc_ok(w, "nvmf_subsystem_add_host", "{\"nqn\":\"" NQN "\",\"host\":\"" ME "\"}");
}

static int body_rows(void *arg)
{
    struct nvme_world w;
    (void)arg;
    world_of_keys(&w);
    for (unsigned i = 0; i < ASH_N_ELEMS(rows); i++) {
        const struct row *r = &rows[i];
        target_keys(&w, r->target, r->target_ctrlr);
        int code = attach_with(&w, r->host, r->host_ctrlr, r->reason);
        CHECK((code == 0) == (r->reason == NULL), "row %u: %d", i, code);
        if (code == 0) {
            use(&w, i + 1);
            rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
        }
    }
    world_down(&w);
    return 0;
}

static void test_rows(void **state)
{
    (void)state;
    in_seeded_world(body_rows, NULL, 1, 2);
}

/* A key that is replaced while a host is connected counts from its next connection on. */
static int body_replaced(void *arg)
{
    struct nvme_world w;
    struct disk d;
    uint8_t buf[BLOCK] = {0};
    (void)arg;
    world_of_keys(&w);
    target_keys(&w, 0, -1);
    CHECK(attach_with(&w, 0, -1, NULL) == 0);
    disk_open(&w, "nn1", &d);
    target_keys(&w, 1, -1);
    CHECK(bdev_write(d.ch, buf, 0, BLOCK, 0) == 0);
    wire_cut_all(&w.wire);
    rt_sleep_ns(5 * SECOND);
    CHECK(rpc_fails(&w, "bdev_nvme_reset_controller", "{\"name\":\"n\"}", "NVME_CONNECT"));
    target_keys(&w, 0, -1);
    CHECK(bdev_write(d.ch, buf, 0, BLOCK, 0) == 0);
    disk_close(&d);
    world_down(&w);
    return 0;
}

static void test_replaced(void **state)
{
    (void)state;
    in_seeded_world(body_replaced, NULL, 2, 1);
}

static int body_bad(void *arg)
{
    static const struct {
        const char *method, *params;
        const char *reason;
    } bad[] = {
        {"keyring_file_add_key", "{\"name\":\"k0\",\"path\":\"/key0\"}", "NVME_KEY"},
        {"keyring_file_add_key", "{\"name\":\"x\",\"path\":\"key0\"}", "BAD_ARGUMENT"},
        {"keyring_file_add_key", "{\"name\":\"x\",\"path\":\"/none\"}", "RT_FILE_OPEN"},
        {"keyring_file_add_key", "{\"name\":\"x\"}", NULL},
        {"keyring_file_remove_key", "{\"name\":\"x\"}", "NVME_KEY"},
        {"nvmf_subsystem_add_host",
         "{\"nqn\":\"" NQN "\",\"host\":\"" ME "x\",\"dhchap_key\":\"none\"}", "NVME_KEY"},
        {"nvmf_subsystem_add_host",
         "{\"nqn\":\"" NQN "\",\"host\":\"" ME "x\",\"dhchap_key\":\"k3\"}", "NVME_KEY"},
        {"nvmf_subsystem_add_host",
         "{\"nqn\":\"" NQN "\",\"host\":\"" ME "x\",\"dhchap_ctrlr_key\":\"k0\"}", "BAD_ARGUMENT"},
        {"nvmf_subsystem_add_host", "{\"nqn\":\"" NQN "\",\"host\":\"" ME "x\",\"psk\":\"k0\"}",
         "NVME_KEY"},
        {"nvmf_subsystem_set_keys",
         "{\"nqn\":\"" NQN "\",\"host\":\"" ME "x\",\"dhchap_key\":\"k0\"}", "EXPORT_NOT_FOUND"},
    };
    struct nvme_world w;
    (void)arg;
    world_of_keys(&w);
    for (unsigned i = 0; i < ASH_N_ELEMS(bad); i++)
        CHECK(rpc_fails(&w, bad[i].method, bad[i].params, bad[i].reason), "row %u", i);
    CHECK(attach_with(&w, 9, -1, "NVME_KEY") == -2);
    CHECK(attach_with(&w, -1, 0, "BAD_ARGUMENT") == -22);
    /* a key that is taken away: who has it goes on, nobody else gets it */
    target_keys(&w, 0, -1);
    CHECK(attach_with(&w, 0, -1, NULL) == 0);
    rpc_ok(&w, "keyring_file_remove_key", "{\"name\":\"k0\"}");
    use(&w, 7);
    rpc_ok(&w, "bdev_nvme_detach_controller", "{\"name\":\"n\"}");
    CHECK(attach_with(&w, 0, -1, "NVME_KEY") == -2);
    rpc_ok(&w, "keyring_get_keys", "{}");
    world_down(&w);
    return 0;
}

static void test_bad(void **state)
{
    (void)state;
    in_seeded_world(body_bad, NULL, 3, 1);
}

static void no_io(struct fake_conn *c, const struct nvme_sqe *sqe)
{
    CHECK(false, "an I/O queue");
}

/* A controller that refuses may end the connection before it was asked for its reason. */
static int body_hung_up(void *arg)
{
    struct nvme_world w;
    struct fake f = {.io = no_io, .authreq = NVME_AUTHREQ_ATR, .hangs_up = true};
    (void)arg;
    world_up(&w);
    put_key(&w, 0);
    fake_open(&f, "tcp://127.0.1.1:4420");
    CHECK(rpc_fails(&w, "bdev_nvme_attach_controller",
                    "{\"name\":\"n\",\"trtype\":\"TCP\",\"traddr\":\"127.0.1.1\",\"trsvcid\":"
                    "\"4420\",\"subnqn\":\"" NQN "\",\"dhchap_key\":\"k0\"}",
                    "NVME_AUTH") == -13);
    fake_close(&f);
    world_down(&w);
    return 0;
}

static void test_hung_up(void **state)
{
    (void)state;
    in_seeded_world(body_hung_up, NULL, 4, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_hung_up),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
