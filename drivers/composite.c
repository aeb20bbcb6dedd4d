/* SPDX-License-Identifier: Apache-2.0 */
/* A group of other devices; its children come from the configuration, so nothing is left to do here. */
#include "drivers/families.h"

const struct jmp_driver_class jmp_composite_class = {
    JMP_DRIVER_HEAD, .name = "composite", .kind = "composite",
    .python_type = "jumpstarter_driver_composite.driver.Composite",
    .client = "jumpstarter_driver_composite.client.CompositeClient",
    .help = "a named group of devices",
};
