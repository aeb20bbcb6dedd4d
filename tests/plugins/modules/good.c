/* SPDX-License-Identifier: Apache-2.0 */
/* Two classes, one with a child. */
#include "drivers/driver.h"

struct lamp {
    unsigned watts;
};

static const struct jmp_option lamp_options[] = {
    { JMP_FIELD(struct lamp, watts), .preset = "40", .help = "power" },
    {}
};

static int lamp_watts(void *self, struct jmp_call *call)
{
    jmp_writer_integer(jmp_call_reply(call), ((struct lamp *)self)->watts);
    return 0;
}

static const struct jmp_method lamp_methods[] = { { .name = "watts", .call = lamp_watts }, {} };

static const struct jmp_driver_class lamp = {
    JMP_DRIVER_HEAD, .name = "lamp", .kind = "power", .client = "test.LampClient", .python_type = "test.Lamp",
    .size = sizeof(struct lamp), .options = lamp_options, .methods = lamp_methods,
};

static const struct jmp_child shop_children[] = { { "bulb", &lamp }, {} };

static const struct jmp_driver_class shop = {
    JMP_DRIVER_HEAD, .name = "shop", .kind = "other", .client = "test.ShopClient", .children = shop_children,
};

JMP_PLUGIN(&lamp, &shop);
