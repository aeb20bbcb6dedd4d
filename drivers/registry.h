/* SPDX-License-Identifier: Apache-2.0 */
/* All driver classes built in. */
#pragma once

#include "drivers/driver.h"

extern const struct jmp_driver_class *const jmp_builtin_drivers[];   /* NULL-terminated */
