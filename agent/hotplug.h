/* SPDX-License-Identifier: Apache-2.0 */
/* News from udev: whatever is plugged in may be what a missing device waits for. On the loop. */
#pragma once

#include "agent/device.h"

struct jmp_hotplug;

/** jmp_hotplug_new() - from now on a new device node makes missing devices be tried at once
 * Return: 0, or negative errno where AF_NETLINK is forbidden. */
int jmp_hotplug_new(struct jmp_devices *devices, struct jmp_loop *loop, struct jmp_hotplug **ret);
struct jmp_hotplug *jmp_hotplug_free(struct jmp_hotplug *hotplug);
/** jmp_devices_retry() - try every missing device now */
void jmp_devices_retry(struct jmp_devices *devices);
