/* SPDX-License-Identifier: Apache-2.0 */
/* From a later agent: its class is longer. One uses what is new, the other could do without. */
#include "drivers/driver.h"

struct newer_class {
    struct jmp_driver_class today;
    int (*teleport)(void *self, struct jmp_call *call);
};

static int teleport(void *self, struct jmp_call *call) { return 0; }

static const struct newer_class modest = {
    .today = { JMP_DRIVER_HEAD, .name = "modest", .kind = "other", .client = "test.ModestClient" },
};

static const struct newer_class bold = {
    .today = { JMP_DRIVER_HEAD, .name = "bold", .kind = "other", .client = "test.BoldClient" },
    .teleport = teleport,
};

static struct newer_class ready[2];
__attribute__((visibility("default")))
const struct newer_class *const jmp_plugin_drivers[] = { &ready[0], &ready[1], NULL };

__attribute__((constructor)) static void fill(void)
{
    ready[0] = modest;
    ready[1] = bold;
    ready[0].today.class_size = ready[1].today.class_size = sizeof(struct newer_class);
}
