/* SPDX-License-Identifier: Apache-2.0 */
/* New names for leases. */
#pragma once

#include "base/uuid.h"

/** jmp_uuid_ordered() - a version 7 UUID: names made one after the other also sort so */
void jmp_uuid_ordered(char ret[JMP_UUID_SIZE]);
